package pipe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

const bufferBytes = 64 << 10

// Listener listens at a named pipe, to which this user and the system alone can connect, and from this machine alone.
type Listener struct {
	path   string
	access *windows.SecurityAttributes

	accepting sync.Mutex
	lock      sync.Mutex
	next      *Conn // the instance that the next client gets
	closed    bool
}

// Listen listens at the path of a named pipe. It fails if a process has a pipe of that name.
func Listen(path string) (*Listener, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, err
	}
	descriptor, err := windows.SecurityDescriptorFromString(fmt.Sprintf("D:P(A;;GA;;;%s)(A;;GA;;;SY)", user.User.Sid))
	if err != nil {
		return nil, err
	}
	access := &windows.SecurityAttributes{SecurityDescriptor: descriptor}
	access.Length = uint32(unsafe.Sizeof(*access))
	l := &Listener{path: path, access: access}
	if l.next, err = l.instance(windows.FILE_FLAG_FIRST_PIPE_INSTANCE); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Listener) instance(flags uint32) (*Conn, error) {
	name, err := windows.UTF16PtrFromString(l.path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED|flags,
		windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, windows.PIPE_UNLIMITED_INSTANCES, bufferBytes, bufferBytes, 0, l.access)
	if err != nil {
		return nil, &os.PathError{Op: "listen at", Path: l.path, Err: err}
	}
	return &Conn{handle: handle{Handle: h}, path: l.path}, nil
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	conn, err := l.current()
	if err != nil {
		return nil, err
	}
	_, err = conn.do(func() (int, error) {
		return conn.reading.run(conn.Handle, nil, func(overlapped *windows.Overlapped) error {
			return windows.ConnectNamedPipe(conn.Handle, overlapped)
		})
	})
	if err != nil && !errors.Is(err, windows.ERROR_PIPE_CONNECTED) {
		return nil, err
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.next = nil
	return conn, nil
}

// current returns the instance that the next client gets.
func (l *Listener) current() (*Conn, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if l.next == nil {
		next, err := l.instance(0)
		if err != nil {
			return nil, err
		}
		l.next = next
	}
	return l.next, nil
}

// Close implements [net.Listener].
func (l *Listener) Close() error {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	if l.next == nil {
		return nil
	}
	return l.next.Close()
}

// Addr implements [net.Listener].
func (l *Listener) Addr() net.Addr { return Addr(l.path) }
