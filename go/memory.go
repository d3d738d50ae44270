package plugmux

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"
)

const (
	// maxLinkMemory and maxUnregisteredMemory limit the bytes that have arrived on a link and have not been read, after the
	// plugin has registered and before.
	maxLinkMemory         = 64 << 20
	maxUnregisteredMemory = 1 << 20
	// maxUnregisteredStreams is how many streams the peer may open before the plugin has registered.
	maxUnregisteredStreams = 32

	smallMessageBytes = 64 << 10
	messageTimeout    = 10 * time.Second
	stallTimeout      = time.Second
)

// frameAction is what the connection does with a frame that has arrived.
type frameAction int

const (
	passFrame    frameAction = iota
	refuseStream             // reset the stream, and hide the frame from yamux
	resetStream              // reset the stream, and give yamux a reset in place of the frame
)

// linkMemory counts the bytes that have arrived on a link and have not been read by the handlers and callers they are for,
// and resets streams that exceed the limit. hashicorp/yamux itself grants each stream 256 KiB and lets the peer open any
// number of streams; over a network, windowGrowth gives the credit.
//
// New streams are accepted only while half of the limit is free, so that a fast peer waits before it is refused. Bytes on
// streams that have not been accepted do not count towards the limit: yamux' backlog of 256 streams bounds them.
type linkMemory struct {
	lock        sync.Mutex
	changed     *sync.Cond
	streams     map[uint32]*streamMemory
	peerStreams int   // open streams that the peer has opened
	total       int64 // unread bytes on all streams
	accepted    int64 // unread bytes on accepted streams and on our own
	reserved    int64 // bytes of incomplete messages that have been read
	preferred   any   // the incomplete message that may continue although the limit is reached
	registered  bool
	closed      bool
	progress    int  // changes whenever something is read
	stalled     bool // over half of the limit is used, and nothing is being read
	maxBytes    int64
	maxStreams  int
	floods      floods
	windows     *windowGrowth                  // nil where hashicorp/yamux gives the credit
	grant       func(id uint32, credit uint32) // sends credit
}

// streamMemory is the accounting of one stream.
type streamMemory struct {
	unread   int64
	ofPeer   bool      // the peer has opened it
	opened   time.Time // by the peer
	hasData  bool      // at least one byte of payload has arrived
	accepted bool
	ended    bool // no more data will arrive
	finished bool // the peer has ended it with FIN
	closed   bool // the program reads no more
	window   window
	onLeave  func() // called when the peer has left
}

// hasLeft reports whether the peer waits no more for what is being made of what it has sent.
func (s *streamMemory) hasLeft() bool { return s.ended && (s.unread == 0 || !s.finished) }

func newLinkMemory(limits Limits) *linkMemory {
	m := &linkMemory{
		streams:    map[uint32]*streamMemory{},
		maxBytes:   int64(limits.MaxLinkMemory),
		maxStreams: limits.MaxStreams,
		floods:     newFloods(limits),
	}
	m.changed = sync.NewCond(&m.lock)
	return m
}

// receive counts a frame of a stream before its payload is read; length is the length of the payload, or the credit that
// the frame grants. An error ends the link.
func (m *linkMemory) receive(id uint32, flags uint16, payload, length int64) (frameAction, error) {
	if m.windows == nil && payload > streamWindowBytes { // It would have to be read until its end, which the peer need not send.
		return passFrame, fmt.Errorf("the peer sent a frame of %d bytes; a stream's window has %d at most", payload, streamWindowBytes)
	}
	if flags&flagSYN != 0 && (id == 0 || id%2 == 1) { // yamux would take the stream for one of the plugin's own
		return passFrame, fmt.Errorf("the runtime opened a stream with the id %d; the ids of its streams are even", id)
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.windows != nil {
		if err := m.takeCredit(id, flags, payload); err != nil {
			return passFrame, err
		}
	}
	return m.decide(id, flags, payload, length), m.floods.err
}

// takeCredit holds the peer to what it has been granted.
func (m *linkMemory) takeCredit(id uint32, flags uint16, payload int64) error {
	granted := int64(maxStreamWindowBytes) // on a stream that has ended here, which the peer need not know
	stream := m.streams[id]
	switch {
	case stream != nil:
		granted = stream.window.granted
		stream.window.granted -= payload
	case flags&flagSYN != 0:
		granted = streamWindowBytes
	}
	if payload > granted {
		return fmt.Errorf("the peer sent a frame of %d bytes; the stream's window has %d left", payload, granted)
	}
	return nil
}

// receiveControl counts a frame that belongs to no stream: a ping, a ping's answer or a go-away. An error ends the link.
func (m *linkMemory) receiveControl() error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.floods.idleFrame(time.Now())
	return m.floods.err
}

func (m *linkMemory) decide(id uint32, flags uint16, payload, length int64) frameAction {
	if flags&flagSYN != 0 && m.streams[id] == nil {
		if m.peerStreams >= m.streamLimit() {
			m.floods.uselessStream(time.Now())
			m.floods.resetHere()
			return refuseStream
		}
		m.streams[id] = &streamMemory{ofPeer: true, opened: time.Now(), window: newWindow()}
		m.streams[id].window.granted -= payload
		m.peerStreams++
		if m.windows != nil && m.mayGrow() {
			if credit := m.windows.begin(&m.streams[id].window); credit > 0 {
				m.grant(id, uint32(credit))
			}
		}
	}
	stream := m.streams[id]
	if stream == nil || flags == 0 && length == 0 {
		m.floods.idleFrame(time.Now())
	}
	if stream == nil {
		return passFrame // yamux discards it
	}
	if payload > 0 && m.exceedsLimit(stream, payload) {
		m.floods.resetHere()
		m.end(id, stream)
		return resetStream
	}
	m.count(stream, payload)
	stream.hasData = stream.hasData || payload > 0
	if flags&(flagFIN|flagRST) != 0 {
		stream.finished = flags&flagRST == 0
		m.countUseless(stream)
		m.end(id, stream)
	}
	return passFrame
}

// countUseless counts a stream that the peer is ending, if the peer opened it for nothing.
func (m *linkMemory) countUseless(stream *streamMemory) {
	if !stream.ofPeer || stream.ended {
		return
	}
	if now := time.Now(); stream.finished && !stream.hasData || !stream.finished && now.Sub(stream.opened) < youngStream {
		m.floods.uselessStream(now)
	}
}

func (m *linkMemory) streamLimit() int {
	if m.registered {
		return m.maxStreams
	}
	return min(maxUnregisteredStreams, m.maxStreams)
}

func (m *linkMemory) exceedsLimit(stream *streamMemory, payload int64) bool {
	if !m.registered {
		return m.total+payload > maxUnregisteredMemory
	}
	return (stream.accepted || !stream.ofPeer) && m.accepted+m.reserved+payload > m.maxBytes
}

func (m *linkMemory) count(stream *streamMemory, bytes int64) {
	stream.unread += bytes
	m.total += bytes
	if stream.accepted || !stream.ofPeer {
		m.accepted += bytes
	}
}

func (m *linkMemory) end(id uint32, stream *streamMemory) {
	if stream.ended {
		return
	}
	stream.ended = true
	if stream.onLeave != nil && stream.hasLeft() {
		stream.onLeave()
	}
	m.forget(id, stream)
}

// watch has a function called when the peer leaves a stream: when it resets the stream, ends it with nothing unread, or the
// link ends. The function must not wait; nil ends the watch.
func (m *linkMemory) watch(id uint32, onLeave func()) {
	m.lock.Lock()
	defer m.lock.Unlock()
	stream := m.streams[id]
	if onLeave != nil && (m.closed || stream == nil || stream.hasLeft()) {
		go onLeave() // as with net/http, a call that is quick enough does not notice
	} else if stream != nil {
		stream.onLeave = onLeave
	}
}

// forget drops a stream once no more data arrives on it and the program reads no more.
func (m *linkMemory) forget(id uint32, stream *streamMemory) {
	if !stream.ended || !stream.closed {
		return
	}
	m.count(stream, -stream.unread)
	if m.windows != nil {
		m.windows.giveBack(&stream.window)
	}
	delete(m.streams, id)
	if stream.ofPeer {
		m.peerStreams--
	}
	m.wake()
}

// send counts a frame that yamux sends.
func (m *linkMemory) send(id uint32, flags uint16) {
	if flags&(flagSYN|flagRST) == 0 {
		return
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	stream := m.streams[id]
	switch {
	case flags&flagRST != 0 && stream != nil:
		if stream.ofPeer && !stream.accepted { // yamux' backlog is full
			stream.accepted, stream.closed = true, true
			m.floods.uselessStream(time.Now())
		}
		m.floods.resetHere()
		m.end(id, stream)
	case flags&flagSYN != 0 && stream == nil:
		m.streams[id] = &streamMemory{window: newWindow()}
	}
}

// accept counts the unread bytes of a stream towards the limit from now on.
func (m *linkMemory) accept(id uint32) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if stream := m.streams[id]; stream != nil && !stream.accepted {
		stream.accepted = true
		m.accepted += stream.unread
	}
}

// read counts bytes that the program has read from a stream.
func (m *linkMemory) read(id uint32, bytes int64) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if stream := m.streams[id]; stream != nil {
		m.count(stream, -bytes)
		m.credit(id, stream, bytes)
		m.wake()
	}
}

// credit lets the peer send more once enough has been read.
func (m *linkMemory) credit(id uint32, stream *streamMemory, bytes int64) {
	if m.windows == nil || stream.ended {
		return
	}
	if credit := m.windows.consume(&stream.window, bytes, m.mayGrow()); credit > 0 {
		m.grant(id, uint32(credit))
	}
}

// mayGrow reports whether windows may become larger: there is memory for it, and the peer has registered.
func (m *linkMemory) mayGrow() bool { return m.registered && m.accepted+m.reserved < m.maxBytes/2 }

// measured records a round trip, by which windows grow.
func (m *linkMemory) measured(roundTrip time.Duration) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.windows.roundTrip = roundTrip
}

// closeStream records that the program reads no more from a stream.
func (m *linkMemory) closeStream(id uint32) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if stream := m.streams[id]; stream != nil {
		stream.closed = true
		m.forget(id, stream)
	}
}

// isFinished reports whether the peer has ended a stream with FIN.
func (m *linkMemory) isFinished(id uint32) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	stream := m.streams[id]
	return stream == nil || stream.finished
}

// register raises the limits to those of a registered plugin.
func (m *linkMemory) register() {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.registered = true
}

// reserve counts a part of an incomplete message, of which size bytes have been read so far. It waits while incomplete
// messages hold half of the limit, and fails with resource_exhausted when it has waited for messageTimeout. One message at
// a time continues without waiting, so that the messages do not all wait for each other; messages of up to 64 KiB still
// find room when larger ones have filled theirs.
func (m *linkMemory) reserve(message any, bytes int, size int64) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.reserved += int64(bytes)
	room := m.maxBytes / 2
	if size > smallMessageBytes {
		room -= room / 8
	}
	if m.reserved <= room || m.isPreferred(message) {
		return nil
	}
	expired := false
	timer := time.AfterFunc(messageTimeout, func() {
		m.lock.Lock()
		defer m.lock.Unlock()
		expired = true
		m.changed.Broadcast()
	})
	defer timer.Stop()
	for m.reserved > room && !m.closed && !m.isPreferred(message) {
		if expired {
			return connect.NewError(connect.CodeResourceExhausted, errors.New("the incomplete messages on the link hold more than "+
				"half of Config.Limits.MaxLinkMemory, and none of them was completed within "+messageTimeout.String()))
		}
		m.changed.Wait()
	}
	return nil
}

// isPreferred reports whether a message is the preferred one. It becomes so when there is no other.
func (m *linkMemory) isPreferred(message any) bool {
	if m.preferred == nil {
		m.preferred = message
	}
	return m.preferred == message
}

// release gives back what a message has reserved.
func (m *linkMemory) release(message any, bytes int64) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.preferred == message {
		m.preferred = nil
	}
	m.reserved -= bytes
	m.wake()
}

// close ends every wait.
func (m *linkMemory) close() {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.closed = true
	for _, stream := range m.streams {
		if stream.onLeave != nil {
			stream.onLeave()
		}
	}
	m.changed.Broadcast()
}

// waitForRoom waits until half of the limit is free. It gives up when nothing has been read for stallTimeout: new calls do
// not wait for streams that no one reads.
func (m *linkMemory) waitForRoom() {
	m.lock.Lock()
	defer m.lock.Unlock()
	for !m.closed && !m.stalled && m.accepted+m.reserved > m.maxBytes/2 {
		before := m.progress
		timer := time.AfterFunc(stallTimeout, func() {
			m.lock.Lock()
			defer m.lock.Unlock()
			m.stalled = m.progress == before
			m.changed.Broadcast()
		})
		m.changed.Wait()
		timer.Stop()
	}
}

// wake tells those who wait that something has been read.
func (m *linkMemory) wake() {
	m.progress++
	m.stalled = m.stalled && m.accepted+m.reserved > m.maxBytes/2
	m.changed.Broadcast()
}
