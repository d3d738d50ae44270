package plugmux

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUser returns the id of the user who listened when the socket was connected.
func peerUser(conn *net.UnixConn) (id int, known bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var credentials *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		credentials, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return 0, false, err
	}
	return int(credentials.Uid), true, nil
}
