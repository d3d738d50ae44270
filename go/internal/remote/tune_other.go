//go:build !linux

package remote

import "syscall"

// tune does nothing where the kernel has no time limit for bytes that nobody acknowledges: the keepalive of yamux has one.
func tune(_, _ string, _ syscall.RawConn) error { return nil }
