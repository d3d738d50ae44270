//go:build unix

package plugmux

import (
	"errors"
	"syscall"
)

// claim makes an inherited descriptor close on exec, and non-blocking, so that closing it ends a read that waits. It
// refuses what is neither a socket nor a pipe: under a wrong number there may be a descriptor of Go's own.
func claim(descriptor uintptr) error {
	var status syscall.Stat_t
	if err := syscall.Fstat(int(descriptor), &status); err != nil {
		return err
	}
	if kind := status.Mode & syscall.S_IFMT; kind != syscall.S_IFSOCK && kind != syscall.S_IFIFO {
		return errors.New("it is neither a socket nor a pipe")
	}
	syscall.CloseOnExec(int(descriptor))
	return syscall.SetNonblock(int(descriptor), true)
}
