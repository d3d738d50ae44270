package plugmux

import (
	"context"
	"os"
)

// awaitProcess waits until a process has ended; it is false when the context ends first. What waits then goes on until
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
