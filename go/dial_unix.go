//go:build unix

package plugmux

import (
	"context"
	"errors"
	"net"
	"strings"
)

// dialLocal connects to a socket of this machine, by its path or its abstract name.
func dialLocal(ctx context.Context, path string) (net.Conn, error) {
	if strings.HasPrefix(path, pipePrefix) {
		return nil, errors.New("it is a named pipe, which only Windows has")
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}
