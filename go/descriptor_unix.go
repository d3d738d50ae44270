//go:build unix

package plugmux

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// adoptDescriptor sets an inherited descriptor to close on exec and to non-blocking mode, in which closing it ends a
// pending read. It fails if the descriptor is neither a socket nor a pipe: a wrong number may be a descriptor of Go's
// runtime.
func adoptDescriptor(descriptor uintptr) error {
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

// openPipe makes an end of a pipe of its descriptor.
func openPipe(descriptor uintptr, name string) io.ReadWriteCloser {
	return os.NewFile(descriptor, name)
}
