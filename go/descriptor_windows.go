package plugmux

import (
	"errors"
	"io"

	"golang.org/x/sys/windows"
	"plugmux.dev/go/internal/pipe"
)

// adoptDescriptor keeps child processes from inheriting a handle. It fails if the handle is not a pipe's.
func adoptDescriptor(handle uintptr) error {
	kind, err := windows.GetFileType(windows.Handle(handle))
	if err != nil {
		return err
	}
	if kind != windows.FILE_TYPE_PIPE {
		return errors.New("it is not a pipe")
	}
	return windows.SetHandleInformation(windows.Handle(handle), windows.HANDLE_FLAG_INHERIT, 0)
}

// openPipe makes an end of an anonymous pipe of its handle.
func openPipe(handle uintptr, _ string) io.ReadWriteCloser {
	return pipe.NewAnonymous(windows.Handle(handle))
}
