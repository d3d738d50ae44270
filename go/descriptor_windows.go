package plugmux

import "syscall"

// adoptDescriptor keeps child processes from inheriting a handle.
func adoptDescriptor(handle uintptr) error {
	return syscall.SetHandleInformation(syscall.Handle(handle), syscall.HANDLE_FLAG_INHERIT, 0)
}
