package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/hashicorp/yamux"
)

const (
	chunkSize   = 64 << 10
	bulkChunks  = 1024 // 64 MiB
	grownWindow = 4 * mebibyte
)

// quiet is yamux as it comes, without its complaint that the peer has ended.
func quiet() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	return config
}

// grown is yamux with a larger receive window. Each end announces its own.
func grown() *yamux.Config {
	config := quiet()
	config.MaxStreamWindowSize = grownWindow
	return config
}

// serveYamux takes whatever comes on each stream, and says at its end how much it was. The first byte on the
// connection chooses the window.
func serveYamux() error {
	conn, err := inheritedConn()
	if err != nil {
		return err
	}
	choice := make([]byte, 1)
	if _, err := io.ReadFull(conn, choice); err != nil {
		return err
	}
	config := quiet()
	if choice[0] == 1 {
		config = grown()
	}
	session, err := yamux.Client(conn, config)
	if err != nil {
		return err
	}
	for {
		stream, err := session.Accept()
		if session.IsClosed() {
			return nil
		} else if err != nil {
			return err
		}
		go func() { _ = sink(stream, stream) }()
	}
}

func sink(from io.ReadCloser, to io.Writer) error {
	defer from.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, from, make([]byte, 4*chunkSize))
	if err != nil {
		return err
	}
	return binary.Write(to, binary.BigEndian, n)
}

func measureYamux(b *bench) error {
	return errors.Join(measureWindow(b, "raw-bulk", quiet()), measureWindow(b, "raw-bulk-grown", grown()))
}

func measureWindow(b *bench, work string, config *yamux.Config) error {
	child, err := startChild("go-yamux")
	if err != nil {
		return err
	}
	choice := []byte{0}
	if config.MaxStreamWindowSize == grownWindow {
		choice[0] = 1
	}
	if _, err := child.Write(choice); err != nil {
		return err
	}
	session, err := yamux.Server(child, config)
	if err != nil {
		return err
	}
	err = b.stream(work, bulkChunks, chunkSize, func(count, size int) error {
		stream, err := session.Open()
		if err != nil {
			return err
		}
		return pour(stream, stream.Close, count, size)
	})
	return errors.Join(err, session.Close(), child.process.Wait())
}

// pour writes chunks, half-closes, and reads how much has arrived.
func pour(conn net.Conn, closeWrite func() error, count, size int) error {
	chunk := make([]byte, size)
	for range count {
		if _, err := conn.Write(chunk); err != nil {
			return err
		}
	}
	if err := closeWrite(); err != nil {
		return err
	}
	var arrived int64
	if err := binary.Read(conn, binary.BigEndian, &arrived); err != nil {
		return err
	}
	return whole(int(arrived), count*size)
}
