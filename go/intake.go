package plugmux

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
)

const (
	// Bounds on what has come over a link and has not been taken, in bytes: before the plugin has registered, after.
	maxUntakenEarly = 1 << 20
	maxUntaken      = 64 << 20
	// maxStreamsEarly is how many streams the peer may open before the plugin has registered.
	maxStreamsEarly = 32

	smallMessage = 64 << 10
	holdTime     = 10 * time.Second
	stallTime    = time.Second
)

// verdict is what becomes of a frame.
type verdict int

const (
	passed  verdict = iota
	refused         // yamux does not see the frame
	broken          // yamux sees a reset in place of the frame
)

// intake counts what has come over a link and has not been taken by the handlers and callers that it is for, and refuses
// what goes over the bounds. hashicorp/yamux grants 256 KiB to each stream, and opens as many streams as the peer likes.
//
// Streams are accepted only while half of the bound is free, so that a peer in a hurry waits before it is refused. What
// the 256 streams hold that have not been accepted yet does not count then: their number bounds it.
type intake struct {
	lock       sync.Mutex
	changed    *sync.Cond
	streams    map[uint32]*streamIntake
	theirs     int // streams of the peer's that are open
	all        int64
	accepted   int64 // what has come on the streams that have been accepted, and for our own
	held       int64 // messages that are being read
	preferred  any   // the one of them that goes on
	registered bool
	closed     bool
	progress   int  // changes when something is taken
	stalled    bool // half of the bound is not free, and nothing is taken
	maxUntaken int64
	maxStreams int
	floods     floods
}

// streamIntake is what the intake knows of one stream.
type streamIntake struct {
	untaken  int64
	theirs   bool
	opened   time.Time // by the peer
	hasCome  bool      // a byte of payload
	accepted bool
	ended    bool // nothing more comes
	finished bool // by the peer, in order
	closed   bool // nobody reads it any more
}

func newIntake(limits Limits) *intake {
	i := &intake{streams: map[uint32]*streamIntake{}, maxUntaken: int64(limits.LinkBytes), maxStreams: limits.Streams,
		floods: newFloods(limits)}
	i.changed = sync.NewCond(&i.lock)
	return i
}

// offer counts a frame of a stream that has come, before its payload has; length is that of the payload, or the credit
// that the frame gives. Its error ends the link.
func (i *intake) offer(id uint32, flags uint16, payload, length int64) (verdict, error) {
	i.lock.Lock()
	defer i.lock.Unlock()
	return i.judge(id, flags, payload, length), i.floods.err
}

// idleFrame counts a frame of no stream: a ping, the answer to one, a go-away. Its error ends the link.
func (i *intake) idleFrame() error {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.floods.idleFrame(time.Now())
	return i.floods.err
}

func (i *intake) judge(id uint32, flags uint16, payload, length int64) verdict {
	if flags&flagSYN != 0 && i.streams[id] == nil {
		if i.theirs >= i.limit(maxStreamsEarly, i.maxStreams) {
			i.floods.uselessStream(time.Now())
			i.floods.resetHere()
			return refused
		}
		i.streams[id] = &streamIntake{theirs: true, opened: time.Now()}
		i.theirs++
	}
	stream := i.streams[id]
	if stream == nil || flags == 0 && length == 0 {
		i.floods.idleFrame(time.Now())
	}
	if stream == nil {
		return passed // yamux discards it
	}
	if payload > 0 && i.tooMuch(stream, payload) {
		i.floods.resetHere()
		i.end(id, stream)
		return broken
	}
	i.count(stream, payload)
	stream.hasCome = stream.hasCome || payload > 0
	if flags&(flagFIN|flagRST) != 0 {
		stream.finished = flags&flagRST == 0
		i.countUseless(stream)
		i.end(id, stream)
	}
	return passed
}

// countUseless counts a stream of the peer's that it ends, where it was opened for nothing.
func (i *intake) countUseless(stream *streamIntake) {
	if !stream.theirs || stream.ended {
		return
	}
	if now := time.Now(); stream.finished && !stream.hasCome || !stream.finished && now.Sub(stream.opened) < youngStream {
		i.floods.uselessStream(now)
	}
}

func (i *intake) limit(early, later int) int {
	if i.registered {
		return later
	}
	return early
}

func (i *intake) tooMuch(stream *streamIntake, payload int64) bool {
	if !i.registered {
		return i.all+payload > maxUntakenEarly
	}
	return (stream.accepted || !stream.theirs) && i.accepted+i.held+payload > i.maxUntaken
}

func (i *intake) count(stream *streamIntake, bytes int64) {
	stream.untaken += bytes
	i.all += bytes
	if stream.accepted || !stream.theirs {
		i.accepted += bytes
	}
}

func (i *intake) end(id uint32, stream *streamIntake) {
	if stream.ended {
		return
	}
	stream.ended = true
	i.forget(id, stream)
}

// forget drops a stream on which nothing comes any more, when nobody reads it.
func (i *intake) forget(id uint32, stream *streamIntake) {
	if !stream.ended || !stream.closed {
		return
	}
	i.count(stream, -stream.untaken)
	delete(i.streams, id)
	if stream.theirs {
		i.theirs--
	}
	i.progressed()
}

// sent counts a frame that is being sent.
func (i *intake) sent(id uint32, flags uint16) {
	if flags&(flagSYN|flagRST) == 0 {
		return
	}
	i.lock.Lock()
	defer i.lock.Unlock()
	stream := i.streams[id]
	switch {
	case flags&flagRST != 0 && stream != nil:
		if stream.theirs && !stream.accepted { // yamux' backlog was full
			stream.accepted, stream.closed = true, true
			i.floods.uselessStream(time.Now())
		}
		i.floods.resetHere()
		i.end(id, stream)
	case flags&flagSYN != 0 && stream == nil:
		i.streams[id] = &streamIntake{}
	}
}

func (i *intake) accept(id uint32) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if stream := i.streams[id]; stream != nil && !stream.accepted {
		stream.accepted = true
		i.accepted += stream.untaken
	}
}

func (i *intake) take(id uint32, bytes int64) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if stream := i.streams[id]; stream != nil {
		i.count(stream, -bytes)
		i.progressed()
	}
}

func (i *intake) leave(id uint32) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if stream := i.streams[id]; stream != nil {
		stream.closed = true
		i.forget(id, stream)
	}
}

func (i *intake) hasFinished(id uint32) bool {
	i.lock.Lock()
	defer i.lock.Unlock()
	stream := i.streams[id]
	return stream == nil || stream.finished
}

func (i *intake) register() {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.registered = true
}

// hold counts a part of a message, of which so much has been read. It waits while half of the bound is held by messages
// that are not complete, and refuses the message when it has waited for a while. One message at a time goes on, so that
// they do not all wait for each other; those that are small find room when others have filled theirs.
func (i *intake) hold(owner any, bytes int, size int64) error {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.held += int64(bytes)
	room := i.maxUntaken / 2
	if size > smallMessage {
		room -= room / 8
	}
	if i.held <= room || i.goesOn(owner) {
		return nil
	}
	late := false
	limit := time.AfterFunc(holdTime, func() {
		i.lock.Lock()
		defer i.lock.Unlock()
		late = true
		i.changed.Broadcast()
	})
	defer limit.Stop()
	for i.held > room && !i.closed && !i.goesOn(owner) {
		if late {
			return connect.NewError(connect.CodeResourceExhausted, errors.New("the messages that are being read are larger "+
				"than half of what Config.Limits.LinkBytes allows, and did not get complete for a while"))
		}
		i.changed.Wait()
	}
	return nil
}

// goesOn tells whether a message is the one that goes on; it is when there is no other.
func (i *intake) goesOn(owner any) bool {
	if i.preferred == nil {
		i.preferred = owner
	}
	return i.preferred == owner
}

func (i *intake) release(owner any, bytes int64) {
	i.lock.Lock()
	defer i.lock.Unlock()
	if i.preferred == owner {
		i.preferred = nil
	}
	i.held -= bytes
	i.progressed()
}

func (i *intake) close() {
	i.lock.Lock()
	defer i.lock.Unlock()
	i.closed = true
	i.changed.Broadcast()
}

// awaitRoom waits until half of the bound is free, as long as anything is taken at all: calls do not wait for streams
// that nobody reads.
func (i *intake) awaitRoom() {
	i.lock.Lock()
	defer i.lock.Unlock()
	for !i.closed && !i.stalled && i.accepted+i.held > i.maxUntaken/2 {
		before := i.progress
		stall := time.AfterFunc(stallTime, func() {
			i.lock.Lock()
			defer i.lock.Unlock()
			i.stalled = i.progress == before
			i.changed.Broadcast()
		})
		i.changed.Wait()
		stall.Stop()
	}
}

// progressed tells those who wait that something has been taken.
func (i *intake) progressed() {
	i.progress++
	i.stalled = i.stalled && i.accepted+i.held > i.maxUntaken/2
	i.changed.Broadcast()
}

// linkListener accepts the streams of a session while there is room for what comes on them.
type linkListener struct {
	*yamux.Session
	intake *intake
}

// Accept implements [net.Listener].
func (l linkListener) Accept() (net.Conn, error) {
	l.intake.awaitRoom()
	stream, err := l.AcceptStream()
	if err != nil {
		return nil, err
	}
	l.intake.accept(stream.StreamID())
	return &linkStream{Stream: stream, intake: l.intake}, nil
}

// linkStream is a stream whose reads the intake counts. What has been read of a request's head counts as taken when the
// head is complete.
type linkStream struct {
	*yamux.Stream
	intake *intake
	begun  atomic.Bool
	head   atomic.Int64
}

// begin tells that the head of the request has been read.
func (s *linkStream) begin() {
	s.begun.Store(true)
	s.intake.take(s.StreamID(), s.head.Swap(0))
}

// Read implements [net.Conn]. yamux ends streams with their session as if the peer had ended them; here that is an
// error.
func (s *linkStream) Read(data []byte) (int, error) {
	n, err := s.Stream.Read(data)
	if s.begun.Load() {
		s.intake.take(s.StreamID(), int64(n))
	} else {
		s.head.Add(int64(n))
	}
	if err == io.EOF && !s.intake.hasFinished(s.StreamID()) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements [net.Conn]. It does not wait for a peer that does not read; the end of the stream is sent when it
// does.
func (s *linkStream) Close() error {
	s.intake.leave(s.StreamID())
	ended := make(chan error, 1)
	go func() { ended <- s.Stream.Close() }()
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	select {
	case err := <-ended:
		return err
	case <-limit.C:
		return nil
	}
}
