package plugmux

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

const (
	headerBytes = 12

	frameData         = 0
	frameWindowUpdate = 1

	flagSYN = 1
	flagACK = 2
	flagFIN = 4
	flagRST = 8

	// lastReadTimeout is how long a connection that cannot be written any more is still read.
	lastReadTimeout = 10 * time.Second
	// maxAckDelay is how long the acknowledgement of a stream waits for a frame that it can be written with.
	maxAckDelay = time.Millisecond
	// maxJoinedBytes is the size up to which a payload is copied to be written together with its header.
	maxJoinedBytes = 16 << 10
	// maxPendingResets is how many resets may wait for a peer that does not read them.
	maxPendingResets = 1024
)

var errTooManyResets = errors.New("the peer opens streams and does not read that they are reset")

// linkConn is the connection under yamux. It inspects the frames on their way, for two things that yamux does not do: it
// limits the memory of the link (see [linkMemory]), and it delivers everything that a peer has sent before it closed. It
// writes the header of a frame together with its payload and with the acknowledgements before it, which yamux writes one by
// one. Over a network it also gives the credit (see [windowGrowth]): that of yamux is not sent.
type linkConn struct {
	io.ReadWriteCloser
	memory *linkMemory

	// Used by yamux' only reader.
	reader  *bufio.Reader
	buffer  [headerBytes]byte
	header  []byte // the part of the frame header that yamux has not read yet
	payload int64  // the bytes of the payload that yamux has not read yet

	writing     sync.Mutex
	unwritten   int64  // the bytes of the payload that belong to the header written last
	held        []byte // frames, or the header of one, that wait to be written with what follows
	ackDelay    time.Duration
	ackHeld     bool // whether a timer is going to write them
	writeFailed bool

	queueing sync.Mutex
	resets   []uint32          // the streams whose resets have not been written
	credits  map[uint32]uint32 // the credit of streams that has not been written
	waking   bool              // whether a goroutine is about to write them
}

func newLinkConn(conn io.ReadWriteCloser, limits Limits) *linkConn {
	return &linkConn{ReadWriteCloser: conn, memory: newLinkMemory(limits), reader: bufio.NewReader(conn), ackDelay: maxAckDelay}
}

// giveCredit has this end give the credit.
func (c *linkConn) giveCredit() {
	c.credits = map[uint32]uint32{}
	c.memory.windows, c.memory.grant = newWindowGrowth(), c.grant
}

// Read gives yamux the frames that the memory of the link has room for.
func (c *linkConn) Read(data []byte) (int, error) {
	for {
		if len(c.header) > 0 {
			n := copy(data, c.header)
			c.header = c.header[n:]
			return n, nil
		}
		if c.payload > 0 {
			n, err := c.reader.Read(data[:min(int64(len(data)), c.payload)])
			c.payload -= int64(n)
			return n, err
		}
		if err := c.readHeader(); err != nil {
			return 0, err
		}
	}
}

// readHeader reads the header of the next frame, and decides what becomes of the frame.
func (c *linkConn) readHeader() error {
	header := c.buffer[:]
	if _, err := io.ReadFull(c.reader, header); err != nil {
		return err
	}
	kind, flags, stream, length := parseHeader(header)
	if kind != frameData && kind != frameWindowUpdate {
		c.header = header
		return logFlood(c.memory.receiveControl())
	}
	if kind == frameData {
		c.payload = length
	}
	action, err := c.memory.receive(stream, flags, c.payload, length)
	if err != nil {
		return logFlood(err)
	}
	switch action {
	case refuseStream:
		header = nil
	case resetStream:
		writeHeader(header, frameWindowUpdate, flagRST, stream)
	default:
		c.header = header
		return nil
	}
	c.header = header
	if _, err := io.CopyN(io.Discard, c.reader, c.payload); err != nil {
		return err
	}
	c.payload = 0
	return c.reset(stream)
}

// logFlood logs why a flood ends the link: yamux does not report the error of its reader.
func logFlood(err error) error {
	if err != nil {
		slog.Error("the link is ended", "error", err)
	}
	return err
}

func parseHeader(header []byte) (kind byte, flags uint16, stream uint32, length int64) {
	length = int64(binary.BigEndian.Uint32(header[8:]))
	return header[1], binary.BigEndian.Uint16(header[2:]), binary.BigEndian.Uint32(header[4:]), length
}

func writeHeader(header []byte, kind byte, flags uint16, stream uint32) {
	header[0], header[1] = 0, kind
	binary.BigEndian.PutUint16(header[2:], flags)
	binary.BigEndian.PutUint32(header[4:], stream)
	binary.BigEndian.PutUint32(header[8:], 0)
}

// Write does not report that the peer has stopped reading: yamux would close the connection at once, although the peer may
// have sent data that has not been read. The link ends when that data has been read, or after lastReadTimeout.
func (c *linkConn) Write(data []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.unwritten == 0 && len(data) == headerBytes { // yamux writes each header by itself
		kind, flags, stream, length := parseHeader(data)
		if kind == frameData {
			c.unwritten = length
		}
		if kind == frameData || kind == frameWindowUpdate {
			c.memory.send(stream, flags)
		}
		if kind == frameWindowUpdate && c.credits != nil {
			data = appendWindowUpdate(nil, flags, stream, 0)
			if flags == 0 {
				return headerBytes, c.writeQueued()
			}
		}
		switch {
		case c.unwritten > 0: // yamux writes the payload at once
			c.held = append(c.held, data...)
			return headerBytes, nil
		case kind == frameWindowUpdate && flags == flagACK:
			c.holdAck(data)
			return headerBytes, nil
		}
	} else {
		c.unwritten -= int64(len(data))
	}
	if err := c.write(data); err != nil {
		return 0, err
	}
	if c.unwritten > 0 {
		return len(data), nil
	}
	return len(data), c.writeQueued()
}

// holdAck holds the acknowledgement of a stream back: the response to a small call soon follows, and one write serves both.
func (c *linkConn) holdAck(frame []byte) {
	c.held = append(c.held, frame...)
	if c.ackHeld {
		return
	}
	c.ackHeld = true
	time.AfterFunc(c.ackDelay, func() {
		c.writing.Lock()
		defer c.writing.Unlock()
		c.ackHeld = false
		if c.unwritten == 0 && len(c.held) > 0 {
			_ = c.write(nil) // yamux' next write fails as well
		}
	})
}

// write writes what is held, and data.
func (c *linkConn) write(data []byte) error {
	if c.writeFailed {
		return nil
	}
	var err error
	if len(c.held) > 0 && len(data) > maxJoinedBytes {
		_, err = c.ReadWriteCloser.Write(c.held)
	} else if len(c.held) > 0 {
		c.held = append(c.held, data...)
		data = c.held
	}
	c.held = c.held[:0]
	if err == nil {
		_, err = c.ReadWriteCloser.Write(data)
	}
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	c.writeFailed = true
	time.AfterFunc(lastReadTimeout, func() { _ = c.Close() })
	return nil
}

// reset queues the reset of a stream, which follows the frame that is being written. It does not wait for the write: the
// peer may read only after its own data has been read.
func (c *linkConn) reset(stream uint32) error {
	c.queueing.Lock()
	defer c.queueing.Unlock()
	c.resets = append(c.resets, stream)
	if len(c.resets) > maxPendingResets {
		return errTooManyResets
	}
	c.writeSoon()
	return nil
}

// grant queues credit in the same way.
func (c *linkConn) grant(stream, credit uint32) {
	c.queueing.Lock()
	defer c.queueing.Unlock()
	c.credits[stream] += credit
	c.writeSoon()
}

// writeSoon has the queued frames written, unless a frame that is being written does it.
func (c *linkConn) writeSoon() {
	if c.waking {
		return
	}
	c.waking = true
	go func() {
		c.writing.Lock()
		defer c.writing.Unlock()
		if c.unwritten == 0 {
			_ = c.writeQueued() // yamux' next write fails as well
		}
	}()
}

func (c *linkConn) writeQueued() error {
	c.queueing.Lock()
	frames := make([]byte, 0, headerBytes*(len(c.resets)+len(c.credits)))
	for stream, credit := range c.credits {
		frames = appendWindowUpdate(frames, 0, stream, credit)
	}
	for _, stream := range c.resets {
		frames = appendWindowUpdate(frames, flagRST, stream, 0)
	}
	c.resets = nil
	clear(c.credits)
	c.waking = false
	c.queueing.Unlock()
	if len(frames) == 0 {
		return nil
	}
	return c.write(frames)
}

func appendWindowUpdate(frames []byte, flags uint16, stream, credit uint32) []byte {
	var header [headerBytes]byte
	writeHeader(header[:], frameWindowUpdate, flags, stream)
	binary.BigEndian.PutUint32(header[8:], credit)
	return append(frames, header[:]...)
}

// Close also ends everything that waits for the memory of the link.
func (c *linkConn) Close() error {
	c.memory.close()
	return c.ReadWriteCloser.Close()
}
