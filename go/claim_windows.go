package plugmux

import "syscall"

// claim keeps an inherited handle from children.
func claim(handle uintptr) error {
	return syscall.SetHandleInformation(syscall.Handle(handle), syscall.HANDLE_FLAG_INHERIT, 0)
}
