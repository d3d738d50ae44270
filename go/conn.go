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
	headBytes = 12

	frameData         = 0
	frameWindowUpdate = 1

	flagSYN = 1
	flagFIN = 4
	flagRST = 8

	// lastReads is how long a connection is read on when it cannot be written any more.
	lastReads = 10 * time.Second
	// maxPendingResets is how many refusals of streams may wait for a peer that does not read them.
	maxPendingResets = 1024
)

var errTooManyResets = errors.New("the peer opens streams and does not read that they are refused")

// linkConn is the connection beneath yamux. It sees the frames that pass, for what yamux does not do: it bounds the
// memory of a link (see [intake]), and it hands over all that a peer has sent before its end.
type linkConn struct {
	io.ReadWriteCloser
	intake *intake

	// What only yamux' one reader uses.
	reader  *bufio.Reader
	buffer  [headBytes]byte
	head    []byte // the rest of a head that yamux has not taken yet
	payload int64  // the rest of the payload behind it

	writing     sync.Mutex
	unwritten   int64 // the rest of the payload behind the head that was written last
	writeFailed bool

	refusing sync.Mutex
	resets   []uint32 // streams whose reset is to be written
}

func newLinkConn(conn io.ReadWriteCloser, limits Limits) *linkConn {
	return &linkConn{ReadWriteCloser: conn, intake: newIntake(limits), reader: bufio.NewReader(conn)}
}

// Read gives yamux the frames that the intake takes.
func (c *linkConn) Read(data []byte) (int, error) {
	for {
		if len(c.head) > 0 {
			n := copy(data, c.head)
			c.head = c.head[n:]
			return n, nil
		}
		if c.payload > 0 {
			n, err := c.reader.Read(data[:min(int64(len(data)), c.payload)])
			c.payload -= int64(n)
			return n, err
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
}

// next reads the head of a frame.
func (c *linkConn) next() error {
	head := c.buffer[:]
	if _, err := io.ReadFull(c.reader, head); err != nil {
		return err
	}
	kind, flags, stream, length := parseHead(head)
	if kind == frameData {
		c.payload = length
	}
	if kind == frameData || kind == frameWindowUpdate {
		fate, err := c.intake.offer(stream, flags, c.payload, length)
		if err != nil {
			return endedByFlood(err)
		}
		switch fate {
		case refused:
			head = nil
		case broken:
			writeHead(head, frameWindowUpdate, flagRST, stream)
		default:
			c.head = head
			return nil
		}
		c.head = head
		if _, err := io.CopyN(io.Discard, c.reader, c.payload); err != nil {
			return err
		}
		c.payload = 0
		return c.reset(stream)
	}
	if err := c.intake.idleFrame(); err != nil {
		return endedByFlood(err)
	}
	c.head = head
	return nil
}

// endedByFlood logs why the link ends: yamux keeps the error to itself.
func endedByFlood(err error) error {
	slog.Error("the link is ended", "error", err)
	return err
}

func parseHead(head []byte) (kind byte, flags uint16, stream uint32, length int64) {
	return head[1], binary.BigEndian.Uint16(head[2:]), binary.BigEndian.Uint32(head[4:]), int64(binary.BigEndian.Uint32(head[8:]))
}

func writeHead(head []byte, kind byte, flags uint16, stream uint32) {
	head[0], head[1] = 0, kind
	binary.BigEndian.PutUint16(head[2:], flags)
	binary.BigEndian.PutUint32(head[4:], stream)
	binary.BigEndian.PutUint32(head[8:], 0)
}

// Write hides the end of a peer that reads no more: what it has sent before is still to be read, and yamux would close
// the connection at once. The end of what comes ends the link instead, or the time that it has for that.
func (c *linkConn) Write(data []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.unwritten == 0 && len(data) == headBytes { // yamux writes each head by itself
		kind, flags, stream, length := parseHead(data)
		if kind == frameData {
			c.unwritten = length
		}
		if kind == frameData || kind == frameWindowUpdate {
			c.intake.sent(stream, flags)
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
	time.AfterFunc(lastReads, func() { _ = c.Close() })
	return nil
}

// reset tells the peer that a stream is refused, behind the frame that is being written. It does not wait for that: the
// peer may read only when it has been read.
func (c *linkConn) reset(stream uint32) error {
	c.refusing.Lock()
	defer c.refusing.Unlock()
	c.resets = append(c.resets, stream)
	if len(c.resets) > maxPendingResets {
		return errTooManyResets
	}
	if len(c.resets) == 1 {
		go func() {
			c.writing.Lock()
			defer c.writing.Unlock()
			if c.unwritten == 0 {
				_ = c.writeResets() // the next write of yamux fails as well
			}
		}()
	}
	return nil
}

func (c *linkConn) writeResets() error {
	c.refusing.Lock()
	resets := c.resets
	c.resets = nil
	c.refusing.Unlock()
	for _, stream := range resets {
		var head [headBytes]byte
		writeHead(head[:], frameWindowUpdate, flagRST, stream)
		if err := c.write(head[:]); err != nil {
			return err
		}
	}
	return nil
}

// Close ends what waits for the streams of the connection too.
func (c *linkConn) Close() error {
	c.intake.close()
	return c.ReadWriteCloser.Close()
}
