package plugmux

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

func frameOf(kind uint8, flags uint16, stream uint32, payload []byte) []byte {
	head := []byte{0, kind}
	head = binary.BigEndian.AppendUint16(head, flags)
	head = binary.BigEndian.AppendUint32(head, stream)
	return append(binary.BigEndian.AppendUint32(head, uint32(len(payload))), payload...)
}

// closedPeer is a connection whose peer opens a raw stream, and when that has been accepted, sends more and closes:
// nothing can be written then, and what it has sent is still to be read.
type closedPeer struct {
	request, rest io.Reader
	written       bytes.Buffer
	accepted      chan struct{}
	given         int           // bytes of the rest
	failed        chan struct{} // a write has failed, before which half of the rest is given
	failedOnce    sync.Once
	closed        chan struct{}
	once          sync.Once
}

func (c *closedPeer) Read(data []byte) (int, error) {
	if n, err := c.request.Read(data); err == nil {
		return n, nil
	}
	select {
	case <-c.accepted:
	case <-c.closed:
	}
	if c.given >= 150*1012 { // a whole number of frames: yamux reads each while it holds the lock of its stream
		select {
		case <-c.failed:
		case <-c.closed:
		}
	}
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
		n, err := c.rest.Read(data[:min(len(data), 1012)])
		c.given += n
		return n, err
	}
}

func (c *closedPeer) Write(data []byte) (int, error) {
	if bytes.Contains(c.written.Bytes(), []byte(streamAccepted)) {
		c.failedOnce.Do(func() { close(c.failed) })
		return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
	}
	c.written.Write(data)
	if bytes.Contains(c.written.Bytes(), []byte(streamAccepted)) {
		close(c.accepted)
	}
	return len(data), nil
}

func (c *closedPeer) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func TestTheLastBytesOfAPeerThatHasClosedAreRead(t *testing.T) {
	const size = 250_000 // more than half a window, so that the plugin grants more on the way
	for name, c := range map[string]struct {
		end  []byte
		want error
	}{
		"and ended its stream": {frameOf(frameWindowUpdate, flagFIN, 2, nil), nil},
		"and did not end it":   {nil, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			request := "GET /stream/s HTTP/1.1\r\nHost: unix\r\nConnection: Upgrade\r\nUpgrade: plugmux-stream\r\n\r\n"
			var sent bytes.Buffer
			for range size / 1000 {
				sent.Write(frameOf(frameData, 0, 2, bytes.Repeat([]byte("x"), 1000)))
			}
			sent.Write(c.end)
			peer := &closedPeer{
				request:  bytes.NewReader(frameOf(frameData, flagSYN, 2, []byte(request))),
				rest:     &sent,
				accepted: make(chan struct{}),
				failed:   make(chan struct{}),
				closed:   make(chan struct{}),
			}
			got, failed := make(chan int, 1), make(chan error, 1)
			linkApp := newLinkApp(nil, []Servable{RawStream("s", func(_ context.Context, stream *Stream) {
				data, err := io.ReadAll(stream)
				got <- len(data)
				failed <- err
			})})
			link := newLink(t.Context(), peer, linkApp, Limits{}.orDefault())
			link.gate.resolve(nil, nil)
			if n := <-got; n != size {
				t.Error(n, "bytes have been read of", size)
			}
			if err := <-failed; err != c.want {
				t.Error(err)
			}
			link.close()
		})
	}
}

// A host that is being debugged, or whose machine was asleep, does not answer for a while, and keeps its plugins.
func TestNoTimeLimitEndsALink(t *testing.T) {
	config := muxConfig()
	if err := yamux.VerifyConfig(config); err != nil {
		t.Error(err)
	}
	if config.EnableKeepAlive || config.StreamOpenTimeout != 0 || config.ConnectionWriteTimeout < 365*24*time.Hour {
		t.Errorf("%+v", config)
	}
}

func TestAStreamClosesAlthoughThePeerDoesNotRead(t *testing.T) {
	ours, theirs := net.Pipe() // which holds nothing: all that is written waits for the peer
	defer theirs.Close()
	link := newLink(t.Context(), ours, http.NotFoundHandler(), Limits{CloseTimeout: 50 * time.Millisecond}.orDefault())
	head := make([]byte, headerBytes)
	opened := make(chan net.Conn, 1)
	go func() { opened <- must(link.open()) }()
	if _, err := io.ReadFull(theirs, head); err != nil {
		t.Fatal(err)
	}
	if err := (<-opened).Close(); err != nil {
		t.Error(err)
	}
	link.gate.resolve(nil, nil)
	link.close()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestALinkHasNoTimeLimits(t *testing.T) {
	config := muxConfig()
	if config.EnableKeepAlive || config.StreamOpenTimeout != 0 || config.ConnectionWriteTimeout < noTimeLimit {
		t.Error("a runtime that stands still would be taken for dead", config)
	}
}

// writes is a connection that tells of each write.
type writes chan string

func (w writes) Write(data []byte) (int, error) {
	w <- string(data)
	return len(data), nil
}

func (writes) Read([]byte) (int, error) { return 0, io.EOF }

func (writes) Close() error { return nil }

func TestAFrameIsWrittenAtOnceWithTheAcknowledgementsBeforeIt(t *testing.T) {
	ack := func(stream uint32) string { return string(frameOf(frameWindowUpdate, flagACK, stream, nil)) }
	large := bytes.Repeat([]byte("x"), maxJoinedBytes+1)
	for name, c := range map[string]struct {
		frames []string // each write of yamux
		delay  time.Duration
		want   []string
	}{
		"a response":           {[]string{ack(2), string(frameOf(frameData, 0, 2, []byte("abc")))}, time.Hour, []string{ack(2) + string(frameOf(frameData, 0, 2, []byte("abc")))}},
		"two acknowledgements": {[]string{ack(2), ack(4), string(frameOf(frameWindowUpdate, flagFIN, 2, nil))}, time.Hour, []string{ack(2) + ack(4) + string(frameOf(frameWindowUpdate, flagFIN, 2, nil))}},
		"a large payload":      {[]string{ack(2), string(frameOf(frameData, 0, 2, large))}, time.Hour, []string{ack(2) + string(frameOf(frameData, 0, 2, large)[:headerBytes]), string(large)}},
		"nothing that follows": {[]string{ack(2)}, time.Nanosecond, []string{ack(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			written := make(writes, len(c.want))
			conn := newLinkConn(written, Limits{}.orDefault())
			conn.ackDelay = c.delay
			for _, frame := range c.frames { // as yamux does, the header by itself
				for _, data := range []string{frame[:headerBytes], frame[headerBytes:]} {
					if n, err := io.WriteString(conn, data); n != len(data) || err != nil {
						t.Fatal(n, err)
					}
					if len(frame) == headerBytes {
						break
					}
				}
			}
			for _, want := range c.want {
				if got := <-written; got != want {
					t.Errorf("%q in place of %q", got, want)
				}
			}
		})
	}
}
