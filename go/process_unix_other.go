//go:build unix && !linux

package plugmux

import "context"

// awaitProcess waits until a process has ended, and returns false if the context ends first.
func awaitProcess(ctx context.Context, pid int) bool { return pollProcess(ctx, pid) }
