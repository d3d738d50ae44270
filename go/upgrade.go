package plugmux

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const longestRefusal = 4096

// upgrade turns a connection to an HTTP server into one that speaks another protocol. When the context ends first, or
// anything fails, the connection is closed.
func upgrade(ctx context.Context, conn net.Conn, host, path, protocol string) (net.Conn, error) {
	disarm := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	upgraded, err := exchangeUpgrade(conn, host, path, protocol)
	if !disarm() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return upgraded, nil
}

func exchangeUpgrade(conn net.Conn, host, path, protocol string) (net.Conn, error) {
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n", path, host, protocol)
	if err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, fmt.Errorf("no answer to the upgrade: %w", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, longestRefusal))
		return nil, fmt.Errorf("the upgrade was refused: %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return withBuffered(conn, reader), nil
}

// withBuffered is a connection whose first bytes have been read into a buffer already: what a peer sends right behind
// the head of a request or an answer belongs to the new protocol.
func withBuffered(conn net.Conn, buffer *bufio.Reader) net.Conn {
	first, _ := buffer.Peek(buffer.Buffered())
	if len(first) == 0 {
		return conn
	}
	return bufferedConn{conn, io.MultiReader(bytes.NewReader(first), conn)}
}

type bufferedConn struct {
	net.Conn
	reader io.Reader
}

func (c bufferedConn) Read(data []byte) (int, error) { return c.reader.Read(data) }
