package plugmux

import (
	"context"
	"net"
	"strings"

	"plugmux.dev/go/internal/pipe"
)

// dialLocal connects to a named pipe, or to a unix socket by its path.
func dialLocal(ctx context.Context, path string) (net.Conn, error) {
	if strings.HasPrefix(path, pipePrefix) {
		return pipe.Dial(ctx, path)
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}
