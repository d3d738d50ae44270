package plugmux

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	streamPrefix   = "/stream/"
	streamProtocol = "plugmux-stream"
	streamAccepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: " + streamProtocol + "\r\n\r\n"
)

// Stream is a raw byte stream between the plugin and its runtime. It may be read and written at the same time by different
// goroutines.
type Stream struct{ net.Conn }

// CloseWrite ends the writing half of the stream; the peer reads [io.EOF]. Reading continues for 5 minutes at most, as yamux
// resets a stream that is half closed for longer.
func (s *Stream) CloseWrite() error { return s.Conn.Close() }

// Close ends the stream. Data that the peer still sends is discarded.
func (s *Stream) Close() error {
	err := s.Conn.Close()
	// yamux cannot reset a stream, and a peer whose window is used up could not end its half: keep reading.
	go func() { _, _ = io.Copy(io.Discard, s.Conn) }()
	return err
}

// StreamHandler serves one raw stream. The stream is closed when the handler returns; the context ends with the link.
type StreamHandler func(ctx context.Context, stream *Stream)

// RawStream serves the raw streams that the runtime opens under a name.
func RawStream(name string, handler StreamHandler) Servable {
	return func(s *linkApp) { s.streams[name] = handler }
}

// OpenStream opens a raw stream to the endpoint that the runtime serves under a name. The context must be derived from that of
// a handler or of [Config.Background]; its deadline applies to opening the stream, not to the stream itself. OpenStream fails
// if the runtime serves no such endpoint.
func OpenStream(ctx context.Context, name string) (*Stream, error) {
	link, err := linkOf(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := openUntil(ctx, func() (net.Conn, error) {
		conn, err := link.open()
		if err == nil {
			conn, err = upgrade(ctx, conn, "unix", streamPrefix+url.PathEscape(name), streamProtocol)
		}
		return conn, err
	})
	if err != nil {
		return nil, fmt.Errorf("raw stream %q: %w", name, err)
	}
	return &Stream{conn}, nil
}

// openUntil opens a connection, and gives up when the context ends: yamux waits for a peer that does not read as long as the
// link lasts. What opens later is closed.
func openUntil(ctx context.Context, open func() (net.Conn, error)) (net.Conn, error) {
	type opened struct {
		conn net.Conn
		err  error
	}
	result := make(chan opened, 1)
	go func() {
		conn, err := open()
		result <- opened{conn, err}
	}()
	select {
	case r := <-result:
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-result; r.err == nil {
				_ = (&Stream{r.conn}).Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func (s *linkApp) serveStream(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	handler, ok := s.streams[name]
	if !ok {
		http.Error(w, fmt.Sprintf("no raw stream is served under the name %q", name), http.StatusNotFound)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), streamProtocol) {
		w.Header().Set("Upgrade", streamProtocol)
		http.Error(w, "a raw stream begins with Upgrade: "+streamProtocol, http.StatusUpgradeRequired)
		return
	}
	conn, err := takeOver(w, streamAccepted)
	if err != nil {
		return // the peer has closed the stream
	}
	stream := &Stream{conn}
	defer stream.Close()
	ctx := r.Context()
	if link, err := linkOf(ctx); err == nil {
		ctx = link.ctx // net/http cancels the request's context as soon as the peer ends its half
	}
	handler(ctx, stream)
}

// takeOver takes the connection from the HTTP server before it answers, so that the server does not parse what the peer sends
// after the answer. The server's time limits end with it.
func takeOver(w http.ResponseWriter, accepted string) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, accepted); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return withBuffered(conn, buffered.Reader), nil
}
