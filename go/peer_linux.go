package plugmux

import (
	"io"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerUser returns the id of the user who listened when the socket was connected.
func peerUser(conn net.Conn) (id string, known bool, err error) {
	credentials, err := peerCredentials(conn)
	if err != nil || credentials == nil {
		return "", false, err
	}
	return strconv.Itoa(int(credentials.Uid)), true, nil
}

// peerProcess returns the id of the process that listened when the connection was made; 0 if it is not known, as in another
// name space, if it has ended already, or if it is this one.
func peerProcess(conn io.ReadWriteCloser) int {
	if buffered, ok := conn.(bufferedConn); ok {
		conn = buffered.Conn
	}
	credentials, err := peerCredentials(conn)
	if err != nil || credentials == nil || int(credentials.Pid) == os.Getpid() || unix.Kill(int(credentials.Pid), 0) == unix.ESRCH {
		return 0
	}
	return int(credentials.Pid)
}

// peerCredentials returns what the kernel knows of the process at the other end of a unix socket; nil for other connections.
func peerCredentials(conn io.ReadWriteCloser) (*unix.Ucred, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var credentials *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		credentials, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = failure
	}
	return credentials, err
}
