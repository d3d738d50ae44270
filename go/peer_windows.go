package plugmux

import (
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/windows"
	"plugmux.dev/go/internal/pipe"
)

const (
	rootUser = "S-1-5-18"
	rootName = "the system"
)

func isUserID(text string) bool { return strings.HasPrefix(text, "S-1-") }

// ownUser returns the SID of the plugin's user; empty, which is nobody's, if the system does not tell.
func ownUser() string {
	id, _ := tokenUser(windows.GetCurrentProcessToken())
	return id
}

// peerUser returns the SID of the user whose process serves a named pipe. Of a unix socket the system does not tell.
func peerUser(conn net.Conn) (id string, known bool, err error) {
	named, ok := conn.(*pipe.Conn)
	if !ok {
		return "", false, nil
	}
	pid, err := named.ServerProcess()
	if err != nil {
		return "", false, err
	}
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return "", false, fmt.Errorf("process %d: %w", pid, err)
	}
	defer windows.CloseHandle(process)
	var token windows.Token
	if err := windows.OpenProcessToken(process, windows.TOKEN_QUERY, &token); err != nil {
		return "", false, fmt.Errorf("process %d: %w", pid, err)
	}
	defer token.Close()
	id, err = tokenUser(token)
	return id, err == nil, err
}

func tokenUser(token windows.Token) (string, error) {
	user, err := token.GetTokenUser()
	if err != nil {
		return "", err
	}
	return user.User.Sid.String(), nil
}
