package pipe

import (
	"errors"
	"io"

	"golang.org/x/sys/windows"
)

// Anonymous is one end of an anonymous pipe. Such a pipe has no overlapped I/O, and an [os.File] of it could not be closed while
// it is being read.
type Anonymous struct{ handle }

// NewAnonymous makes an end of an anonymous pipe of its handle, which then belongs to it.
func NewAnonymous(h windows.Handle) *Anonymous { return &Anonymous{handle{Handle: h}} }

// Read implements [io.Reader].
func (p *Anonymous) Read(data []byte) (int, error) {
	return p.do(func() (int, error) {
		for {
			var n uint32
			err := windows.ReadFile(p.Handle, data, &n, nil)
			switch {
			case errors.Is(err, windows.ERROR_BROKEN_PIPE):
				return int(n), io.EOF
			case err != nil || n > 0 || len(data) == 0 || p.closed.Load():
				return int(n), err
			} // else the peer has written nothing, which is no end
		}
	})
}

// Write implements [io.Writer].
func (p *Anonymous) Write(data []byte) (int, error) {
	return p.do(func() (written int, err error) {
		for written < len(data) && err == nil {
			var n uint32
			err = windows.WriteFile(p.Handle, data[written:], &n, nil)
			written += int(n)
		}
		return written, err
	})
}
