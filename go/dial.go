package plugmux

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"unicode/utf16"

	"plugmux.dev/go/internal/remote"
)

const (
	hijackPath   = "/hijack"
	hijackHost   = "secrets-engine.localhost"
	hijackScheme = "tcp"

	// pipePrefix begins the path of each named pipe of this machine.
	pipePrefix = `\\.\pipe\`
	// maxPipeName is the length that the name of a pipe may have on Windows: the path may have 256 characters.
	maxPipeName = 256 - len(pipePrefix)
)

// maxSocketName is the length in bytes that the path of a unix socket may have on this system.
var maxSocketName = len(syscall.RawSockaddrUnix{}.Path) - 1

// dial connects to the runtime that listens on a socket and upgrades the connection to a link. Before it sends anything, it
// checks that the runtime's user is allowed.
func dial(ctx context.Context, socket string, peers peerPolicy) (net.Conn, error) {
	path, err := socketPath(socket)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %v", dialTimeout))
	defer cancel()
	conn, err := dialLocal(limited, path)
	if err == nil {
		if err := peers.check(conn); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("the socket at %s is not trusted: %w", socket, err)
		}
		conn, err = upgrade(limited, conn, hijackHost, hijackPath, hijackScheme)
	}
	if err != nil {
		return nil, fmt.Errorf("no runtime at %s: %w; start one there, or set %s", socket, err, socketVariable)
	}
	return conn, nil
}

// socketPath parses an address: "unix:/path", "unix:@abstract", or the path alone; on Windows also "pipe:NAME".
func socketPath(address string) (string, error) {
	scheme, path, found := strings.Cut(address, ":")
	if !found {
		scheme, path = "unix", address
	}
	if scheme == "pipe" {
		return pipePath(address, path)
	}
	path = strings.TrimPrefix(path, "//")
	switch {
	case scheme != "unix" || !strings.ContainsAny(path, `/\`) && !strings.HasPrefix(path, "@"):
		return "", addressError{address, "write unix:/path or unix:@name"} // a name without a slash is a mistake
	case path == "@" || strings.Contains(path, "\x00"):
		return "", addressError{address, "it names no socket"}
	case strings.HasPrefix(path, "@") && runtime.GOOS != "linux":
		return "", addressError{address, "only Linux has abstract sockets: write unix:/path"}
	case len(path) > maxSocketName:
		return "", addressError{address, fmt.Sprintf("a socket's name may have %d bytes here: choose a shorter path", maxSocketName)}
	}
	return path, nil
}

func pipePath(address, name string) (string, error) {
	switch size := len(utf16.Encode([]rune(name))); {
	case name == "" || strings.ContainsAny(name, "\\/\x00"):
		return "", addressError{address, `write pipe:NAME, without a slash or a backslash in the name`}
	case size > maxPipeName:
		return "", addressError{address, fmt.Sprintf("a pipe's name may have %d characters: choose a shorter name", maxPipeName)}
	case runtime.GOOS != "windows":
		return "", addressError{address, "only Windows has named pipes: write unix:/path"}
	}
	return pipePrefix + name, nil
}

// addressError says what is wrong with an address; it is an [ErrNoRuntime].
type addressError struct{ address, rule string }

func (e addressError) Error() string {
	if e.address == "" || remote.IsNetwork(e.address) {
		return e.rule // which names the address where there is one
	}
	return fmt.Sprintf("the address %.140q is not valid: %s", e.address, e.rule)
}

func (e addressError) Is(target error) bool { return target == ErrNoRuntime }
