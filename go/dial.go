package plugmux

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
)

const (
	hijackPath   = "/hijack"
	hijackHost   = "secrets-engine.localhost"
	hijackScheme = "tcp"
)

// maxSocketName is how many bytes the name of a socket may have.
var maxSocketName = len(syscall.RawSockaddrUnix{}.Path) - 1

// dial connects to the runtime that listens on a socket, and makes the connection a link's. It refuses a runtime of
// a user that the policy does not allow before it has sent anything.
func dial(ctx context.Context, socket string, peers peerPolicy) (net.Conn, error) {
	path, err := socketPath(socket)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %v", dialTimeout))
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(limited, "unix", path)
	if err == nil {
		if err := peers.check(conn); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("the socket at %s is not used: %w", socket, err)
		}
		conn, err = upgrade(limited, conn, hijackHost, hijackPath, hijackScheme)
	}
	if err != nil {
		return nil, fmt.Errorf("no runtime at %s: %w; start one there, or set %s", socket, err, socketVariable)
	}
	return conn, nil
}

// socketPath reads an address: "unix:/path", "unix:@abstract", or the path alone.
func socketPath(address string) (string, error) {
	scheme, path, found := strings.Cut(address, ":")
	if !found {
		scheme, path = "unix", address
	}
	path = strings.TrimPrefix(path, "//")
	switch {
	case scheme != "unix" || !strings.ContainsAny(path, `/\`) && !strings.HasPrefix(path, "@"):
		return "", addressError{address, "write unix:/path or unix:@name"} // a path without a slash is a slip
	case path == "@" || strings.Contains(path, "\x00"):
		return "", addressError{address, "it names no socket"}
	case strings.HasPrefix(path, "@") && runtime.GOOS != "linux":
		return "", addressError{address, "only Linux has abstract sockets: write unix:/path"}
	case len(path) > maxSocketName:
		return "", addressError{address, fmt.Sprintf("a socket's name may have %d bytes here: choose a shorter path", maxSocketName)}
	}
	return path, nil
}

// addressError is an [ErrNoRuntime]: there is an address, and it is not valid.
type addressError struct{ address, rule string }

func (e addressError) Error() string {
	return fmt.Sprintf("the address %.140q is not valid: %s", e.address, e.rule)
}

func (e addressError) Is(target error) bool { return target == ErrNoRuntime }
