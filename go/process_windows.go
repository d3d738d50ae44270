package plugmux

import (
	"context"
	"os"
)

// awaitProcess waits until a process has ended, and returns false if the context ends first; its goroutine then remains until
// the process ends.
func awaitProcess(ctx context.Context, pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return true
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = process.Wait()
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}
