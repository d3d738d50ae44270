//go:build darwin || freebsd

package plugmux

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

const solLocal = 0 // the level of a unix socket's own options

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
	var credentials *unix.Xucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		credentials, failure = unix.GetsockoptXucred(int(fd), solLocal, unix.LOCAL_PEERCRED)
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return "", false, err
	}
	return strconv.Itoa(int(credentials.Uid)), true, nil
}
