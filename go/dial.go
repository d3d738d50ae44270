package plugmux

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	dialTimeout  = 2 * time.Second
	hijackPath   = "/hijack"
	hijackHost   = "secrets-engine.localhost"
	hijackScheme = "tcp"
)

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
	if scheme != "unix" || path == "" {
		return "", addressError(address)
	}
	return path, nil
}

// addressError is an [ErrNoRuntime]: there is an address, and it is not valid.
type addressError string

func (e addressError) Error() string {
	return fmt.Sprintf("the address %q is not valid: write unix:/path or unix:@name", string(e))
}

func (e addressError) Is(target error) bool { return target == ErrNoRuntime }
