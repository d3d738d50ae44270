package plugmux

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// linkListener accepts the streams of a session while the link has memory for what arrives on them.
type linkListener struct {
	*yamux.Session
	memory *linkMemory
}

// AcceptStream returns the next stream.
func (l linkListener) AcceptStream() (*linkStream, error) {
	l.memory.waitForRoom()
	stream, err := l.Session.AcceptStream()
	if err != nil {
		return nil, err
	}
	l.memory.accept(stream.StreamID())
	return &linkStream{Stream: stream, memory: l.memory}, nil
}

// passedStreams is the listener of net/http's server: it accepts the streams that the fast path leaves to it.
type passedStreams struct {
	streams chan *linkStream
	closed  chan struct{}
	once    sync.Once
	address net.Addr
}

func newPassedStreams(address net.Addr) *passedStreams {
	return &passedStreams{streams: make(chan *linkStream), closed: make(chan struct{}), address: address}
}

// pass gives the server a stream.
func (p *passedStreams) pass(stream *linkStream) {
	select {
	case p.streams <- stream:
	case <-p.closed:
		_ = stream.Close()
	}
}

// Accept implements [net.Listener].
func (p *passedStreams) Accept() (net.Conn, error) {
	select {
	case stream := <-p.streams:
		return stream, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *passedStreams) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements [net.Listener].
func (p *passedStreams) Addr() net.Addr { return p.address }

// linkStream is a yamux stream whose reads are counted. The bytes of a request's header count as read only when the header
// is complete.
type linkStream struct {
	*yamux.Stream
	memory      *linkMemory
	headerRead  atomic.Bool
	headerBytes atomic.Int64

	again    []byte // has been read, and is read once more by net/http
	handover atomic.Pointer[handover]
}

// markHeaderRead records that the header of the request has been read completely.
func (s *linkStream) markHeaderRead() {
	s.headerRead.Store(true)
	s.memory.read(s.StreamID(), s.headerBytes.Swap(0))
}

// Read implements [net.Conn]. When the session ends, yamux ends its streams as if the peer had sent FIN; here that is
// [io.ErrUnexpectedEOF].
func (s *linkStream) Read(data []byte) (int, error) {
	if len(s.again) > 0 {
		n := copy(data, s.again)
		s.again = s.again[n:]
		return n, nil
	}
	n, err := s.Stream.Read(data)
	if s.headerRead.Load() {
		s.memory.read(s.StreamID(), int64(n))
	} else {
		s.headerBytes.Add(int64(n))
	}
	if err == io.EOF && !s.memory.isFinished(s.StreamID()) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// RemoteAddr implements [net.Conn]. It is the first that net/http calls on the goroutine that serves the stream.
func (s *linkStream) RemoteAddr() net.Addr {
	growStack()
	return s.Stream.RemoteAddr()
}

// Close implements [net.Conn]. It does not wait for a peer that does not read: the FIN is sent when the peer reads again.
func (s *linkStream) Close() error {
	if h := s.handover.Swap(nil); h != nil {
		h.abandon()
	}
	s.memory.closeStream(s.StreamID())
	ended := make(chan error, 1)
	go func() { ended <- s.Stream.Close() }()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return nil
	}
}

// closeNow closes the stream like Close, but waits for a peer that does not read until the link ends.
func (s *linkStream) closeNow() {
	s.memory.closeStream(s.StreamID())
	_ = s.Stream.Close()
}
