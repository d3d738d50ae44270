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

const (
	maxAnswerHeaderBytes = 16 << 10
	maxRefusalBytes      = 4096
)

// upgrade asks an HTTP server to switch a connection to another protocol. It closes the connection if the context ends first
// or the upgrade fails.
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

// upgradeRefused is the answer of a server that does not switch the connection.
type upgradeRefused struct {
	status int
	answer string
}

func (e upgradeRefused) Error() string { return "the upgrade was refused: " + e.answer }

func exchangeUpgrade(conn net.Conn, host, path, protocol string) (net.Conn, error) {
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n", path, host, protocol)
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswerHeaderBytes}
	reader := bufio.NewReader(limited)
	response, err := http.ReadResponse(reader, nil)
	if err != nil && limited.N == 0 {
		return nil, fmt.Errorf("the header of the answer to the upgrade has over %d bytes", maxAnswerHeaderBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("no answer to the upgrade: %w", err)
	}
	limited.N = maxRefusalBytes
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusalBytes))
		return nil, upgradeRefused{response.StatusCode, response.Status + ": " + strings.TrimSpace(string(text))}
	}
	return withBuffered(conn, reader), nil
}

// withBuffered returns a connection that first reads what has been read into a buffer: bytes that follow the header of a
// request or response belong to the new protocol.
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
