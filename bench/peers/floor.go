package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// The floor is a bare socket pair: what no system on top of one can pass. A message is its length and its bytes, and
// comes back as it is; after the length 0 the child takes all that comes until the end, and says how much it was.

func serveFloor() error {
	conn, err := inheritedConn()
	if err != nil {
		return err
	}
	buffer := make([]byte, 4+mebibyte)
	for {
		if _, err := io.ReadFull(conn, buffer[:4]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(buffer)
		if size == 0 {
			return sink(conn, conn)
		}
		if _, err := io.ReadFull(conn, buffer[4:4+size]); err != nil {
			return err
		}
		if _, err := conn.Write(buffer[:4+size]); err != nil {
			return err
		}
	}
}

func measureFloor(b *bench) error {
	child, err := startChild("floor")
	if err != nil {
		return err
	}
	buffer := make([]byte, 4+mebibyte)
	pingPong := func(payload []byte) error {
		binary.BigEndian.PutUint32(buffer, uint32(len(payload)))
		copy(buffer[4:], payload)
		if _, err := child.Write(buffer[:4+len(payload)]); err != nil {
			return err
		}
		_, err := io.ReadFull(child, buffer[:4+len(payload)])
		return err
	}
	err = errors.Join(
		b.calls("unary-serial", 1, 100, pingPong),
		b.calls("unary-64k", 1, chunkSize, pingPong),
		b.calls("unary-1m", 1, mebibyte, pingPong),
		child.end(),
		b.stream("raw-bulk", bulkChunks, chunkSize, pourOnce),
	)
	return err
}

// pourOnce moves a bulk to a child of its own: a socket can be half-closed only once.
func pourOnce(count, size int) error {
	child, err := startChild("floor")
	if err != nil {
		return err
	}
	if _, err := child.Write(make([]byte, 4)); err != nil {
		return err
	}
	unix, ok := child.Conn.(*net.UnixConn)
	if !ok {
		return errors.New("the socket pair is no unix socket")
	}
	return errors.Join(pour(child, unix.CloseWrite, count, size), child.end())
}
