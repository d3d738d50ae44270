package remote

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout is how many milliseconds bytes may stay unacknowledged before the kernel gives a connection up.
const userTimeout = 20_000

// tune lets the kernel give a connection up whose bytes nobody acknowledges.
func tune(_, _ string, raw syscall.RawConn) error {
	var failure error
	err := raw.Control(func(fd uintptr) {
		failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeout)
	})
	if err == nil {
		err = failure
	}
	return err
}
