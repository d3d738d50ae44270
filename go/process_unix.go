//go:build unix

package plugmux

import (
	"context"
	"errors"
	"syscall"
	"time"
)

const processPoll = time.Second

// pollProcess waits until a process has ended, and returns false if the context ends first.
func pollProcess(ctx context.Context, pid int) bool {
	for ctx.Err() == nil {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
		pause(ctx, processPoll)
	}
	return false
}
