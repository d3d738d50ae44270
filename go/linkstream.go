package plugmux

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// linkListener accepts the streams of a session while the link has memory for what arrives on them.
type linkListener struct {
	*yamux.Session
	memory *linkMemory
}

// Accept implements [net.Listener].
func (l linkListener) Accept() (net.Conn, error) {
	l.memory.waitForRoom()
	stream, err := l.AcceptStream()
	if err != nil {
		return nil, err
	}
	l.memory.accept(stream.StreamID())
	return &linkStream{Stream: stream, memory: l.memory}, nil
}

// linkStream is a yamux stream whose reads are counted. The bytes of a request's header count as read only when the header
// is complete.
type linkStream struct {
	*yamux.Stream
	memory      *linkMemory
	headerRead  atomic.Bool
	headerBytes atomic.Int64
}

// markHeaderRead records that the header of the request has been read completely.
func (s *linkStream) markHeaderRead() {
	s.headerRead.Store(true)
	s.memory.read(s.StreamID(), s.headerBytes.Swap(0))
}

// Read implements [net.Conn]. When the session ends, yamux ends its streams as if the peer had sent FIN; here that is
// [io.ErrUnexpectedEOF].
func (s *linkStream) Read(data []byte) (int, error) {
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
