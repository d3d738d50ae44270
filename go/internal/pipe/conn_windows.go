package pipe

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/windows"
)

// busyPause is the time between two tries to connect to a pipe all of whose instances are taken.
const busyPause = 10 * time.Millisecond

// Conn is a connection over a named pipe.
type Conn struct {
	handle
	path    string
	reading direction
	writing direction
}

// Dial connects to a named pipe. Its server cannot act as this user: the connection tells it nobody.
func Dial(ctx context.Context, path string) (*Conn, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	for {
		h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING,
			windows.FILE_FLAG_OVERLAPPED|windows.SECURITY_SQOS_PRESENT|windows.SECURITY_ANONYMOUS, 0)
		if err == nil {
			return &Conn{handle: handle{Handle: h}, path: path}, nil
		}
		if !errors.Is(err, windows.ERROR_PIPE_BUSY) {
			return nil, &os.PathError{Op: "connect to", Path: path, Err: err}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(busyPause):
		}
	}
}

// ServerProcess returns the process id of the pipe's server.
func (c *Conn) ServerProcess() (uint32, error) {
	var pid uint32
	err := windows.GetNamedPipeServerProcessId(c.Handle, &pid)
	return pid, err
}

// Read implements [net.Conn].
func (c *Conn) Read(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	n, err := c.do(func() (int, error) {
		return c.reading.run(c.Handle, data, func(overlapped *windows.Overlapped) error {
			return windows.ReadFile(c.Handle, data, nil, overlapped)
		})
	})
	if errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_PIPE_NOT_CONNECTED) {
		err = io.EOF
	}
	return n, err
}

// Write implements [net.Conn].
func (c *Conn) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		rest := data[written:]
		n, err := c.do(func() (int, error) {
			return c.writing.run(c.Handle, rest, func(overlapped *windows.Overlapped) error {
				return windows.WriteFile(c.Handle, rest, nil, overlapped)
			})
		})
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// LocalAddr implements [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return Addr(c.path) }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return Addr(c.path) }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	c.reading.setDeadline(t)
	c.writing.setDeadline(t)
	return nil
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.reading.setDeadline(t)
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.writing.setDeadline(t)
	return nil
}

// Addr is the path of a named pipe.
type Addr string

// Network implements [net.Addr].
func (Addr) Network() string { return "pipe" }

func (a Addr) String() string { return string(a) }

// direction is one direction of a connection: its operations, one after another, and their deadline.
type direction struct {
	turn sync.Mutex

	lock   sync.Mutex
	timer  *time.Timer
	passed bool   // the deadline has
	cancel func() // ends the operation that is under way
}

func (d *direction) setDeadline(t time.Time) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.passed = nil, false
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		d.pass()
	default:
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			d.lock.Lock()
			defer d.lock.Unlock()
			if d.timer == timer { // else another deadline has been set meanwhile
				d.pass()
			}
		})
		d.timer = timer
	}
}

func (d *direction) pass() {
	d.passed = true
	if d.cancel != nil {
		d.cancel()
	}
}

// run begins an operation on data and waits for its end.
func (d *direction) run(h windows.Handle, data []byte, begin func(*windows.Overlapped) error) (int, error) {
	d.turn.Lock()
	defer d.turn.Unlock()
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return 0, err
	}
	defer windows.CloseHandle(event)
	overlapped := &windows.Overlapped{HEvent: event}
	var pinner runtime.Pinner // the system uses both until the operation has ended
	defer pinner.Unpin()
	pinner.Pin(overlapped)
	if len(data) > 0 {
		pinner.Pin(&data[0])
	}
	if err := d.begin(h, overlapped, begin); err != nil {
		return 0, err
	}
	var n uint32
	err = windows.GetOverlappedResult(h, overlapped, &n, true)
	d.lock.Lock()
	defer d.lock.Unlock()
	d.cancel = nil
	if errors.Is(err, windows.ERROR_OPERATION_ABORTED) && d.passed {
		err = os.ErrDeadlineExceeded
	}
	return int(n), err
}

func (d *direction) begin(h windows.Handle, overlapped *windows.Overlapped, begin func(*windows.Overlapped) error) error {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.passed {
		return os.ErrDeadlineExceeded
	}
	if err := begin(overlapped); err != nil && !errors.Is(err, windows.ERROR_IO_PENDING) {
		return err
	}
	d.cancel = func() { _ = windows.CancelIoEx(h, overlapped) }
	return nil
}
