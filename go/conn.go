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
	flagFIN = 4
	flagRST = 8

	// lastReadTimeout is how long a connection that cannot be written any more is still read.
	lastReadTimeout = 10 * time.Second
	// maxPendingResets is how many resets may wait for a peer that does not read them.
	maxPendingResets = 1024
)

var errTooManyResets = errors.New("the peer opens streams and does not read that they are reset")

// linkConn is the connection under yamux. It inspects the frames on their way, for two things that yamux does not do: it
// limits the memory of the link (see [linkMemory]), and it delivers everything that a peer has sent before it closed.
type linkConn struct {
	io.ReadWriteCloser
	memory *linkMemory

	// Used by yamux' only reader.
	reader  *bufio.Reader
	buffer  [headerBytes]byte
	header  []byte // the part of the frame header that yamux has not read yet
	payload int64  // the bytes of the payload that yamux has not read yet

	writing     sync.Mutex
	unwritten   int64 // the bytes of the payload that belong to the header written last
	writeFailed bool

	resetting sync.Mutex
	resets    []uint32 // the streams whose resets have not been written
}

func newLinkConn(conn io.ReadWriteCloser, limits Limits) *linkConn {
	return &linkConn{ReadWriteCloser: conn, memory: newLinkMemory(limits), reader: bufio.NewReader(conn)}
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
	} else {
		c.unwritten -= int64(len(data))
	}
	if err := c.write(data); err != nil {
		return 0, err
	}
	if c.unwritten > 0 {
		return len(data), nil
	}
	return len(data), c.writeResets()
}

func (c *linkConn) write(data []byte) error {
	if c.writeFailed {
		return nil
	}
	_, err := c.ReadWriteCloser.Write(data)
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
	c.resetting.Lock()
	defer c.resetting.Unlock()
	c.resets = append(c.resets, stream)
	if len(c.resets) > maxPendingResets {
		return errTooManyResets
	}
	if len(c.resets) == 1 {
		go func() {
			c.writing.Lock()
			defer c.writing.Unlock()
			if c.unwritten == 0 {
				_ = c.writeResets() // yamux' next write fails as well
			}
		}()
	}
	return nil
}

func (c *linkConn) writeResets() error {
	c.resetting.Lock()
	resets := c.resets
	c.resets = nil
	c.resetting.Unlock()
	for _, stream := range resets {
		var header [headerBytes]byte
		writeHeader(header[:], frameWindowUpdate, flagRST, stream)
		if err := c.write(header[:]); err != nil {
			return err
		}
	}
	return nil
}

// Close also ends everything that waits for the memory of the link.
func (c *linkConn) Close() error {
	c.memory.close()
	return c.ReadWriteCloser.Close()
}
