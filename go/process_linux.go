package plugmux

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// awaitProcess waits until a process has ended, and returns false if the context ends first. It watches a descriptor of the
// process, so that a later process with the same id is not mistaken for it.
func awaitProcess(ctx context.Context, pid int) bool {
	descriptor, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	if err == nil {
		err = unix.SetNonblock(descriptor, true)
	}
	if err != nil {
		return pollProcess(ctx, pid)
	}
	process := os.NewFile(uintptr(descriptor), "process")
	defer process.Close()
	defer context.AfterFunc(ctx, func() { _ = process.Close() })()
	raw, err := process.SyscallConn()
	if err != nil {
		return pollProcess(ctx, pid)
	}
	return raw.Read(func(descriptor uintptr) bool {
		ready, _ := unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, 0)
		return ready > 0
	}) == nil
}
