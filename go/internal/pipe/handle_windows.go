package pipe

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/windows"
)

// cancelPause is the time between two tries to end an operation that is about to begin.
const cancelPause = time.Millisecond

// handle is a handle that is closed when no operation uses it any more.
type handle struct {
	windows.Handle
	use    sync.RWMutex // held for reading by each operation, and for writing when the handle is closed
	closed atomic.Bool
}

// do runs an operation, whose error is [net.ErrClosed] if the handle is closed meanwhile.
func (h *handle) do(operation func() (int, error)) (int, error) {
	h.use.RLock()
	defer h.use.RUnlock()
	if h.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := operation()
	if err != nil && h.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

// Close ends the operations that are under way, and closes the handle after them.
func (h *handle) Close() error {
	if h.closed.Swap(true) {
		return net.ErrClosed
	}
	for !h.use.TryLock() { // again and again: an operation may have passed the check and not begun yet
		_ = windows.CancelIoEx(h.Handle, nil)
		time.Sleep(cancelPause)
	}
	defer h.use.Unlock()
	return windows.CloseHandle(h.Handle)
}
