//go:build darwin || freebsd

package plugmux

import (
	"net"

	"golang.org/x/sys/unix"
)

const solLocal = 0 // the level of a unix socket's own options

// peerUser returns the id of the user who listened when the socket was connected.
func peerUser(conn *net.UnixConn) (id int, known bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var credentials *unix.Xucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		credentials, failure = unix.GetsockoptXucred(int(fd), solLocal, unix.LOCAL_PEERCRED)
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return 0, false, err
	}
	return int(credentials.Uid), true, nil
}
