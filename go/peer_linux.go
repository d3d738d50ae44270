package plugmux

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerUser returns the id of the user who listened when the socket was connected.
func peerUser(conn net.Conn) (id string, known bool, err error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return "", false, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return "", false, err
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
		return "", false, err
	}
	return strconv.Itoa(int(credentials.Uid)), true, nil
}
