package plugmux

import (
	"bytes"
	"context"
	"log"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
)

// requestBufferBytes is how much of a stream is read at once, as by net/http.
const requestBufferBytes = 4096

// fastPath answers unary calls without net/http's server, which takes longer than all the rest of a small call: it serves each
// stream as a connection, with goroutines, buffers and deadlines of its own. The fast path serves the calls whose request
// has arrived as a whole and is of the plainest form (see [wholeRequest]). The server gets every stream with another request,
// from which everything can be read again, and every call whose handler does more than write a small response (see
// [fastResponse]). The bytes on the stream, the request that the handler sees and the end of its context are those of net/http.
type fastPath struct {
	handler    http.Handler
	context    context.Context // of all requests
	remoteAddr string
	log        *log.Logger
	pass       func(*linkStream) // gives a stream to net/http's server
	serving    atomic.Int64      // the streams that are being served here
}

var requestBuffers = sync.Pool{New: func() any { return new([requestBufferBytes]byte) }}

// start serves a stream in its own goroutine.
func (f *fastPath) start(stream *linkStream) {
	f.serving.Add(1)
	go func() {
		growFastPathStack()
		defer f.serving.Add(-1)
		f.serve(stream, context.WithValue(f.context, streamKey{}, stream))
	}()
}

// serve serves the requests of a stream, until one comes that is not for the fast path, or none comes any more.
func (f *fastPath) serve(stream *linkStream, ctx context.Context) {
	for {
		data := receive(stream)
		if data == nil {
			stream.closeNow()
			return
		}
		request, ok := parseWholeRequest(data)
		if !ok {
			stream.again = data
			f.pass(stream)
			return
		}
		if !f.answer(ctx, &fastCall{stream: stream, data: data, request: request}) {
			return
		}
	}
}

// receive returns what a stream has; nil if it has ended.
func receive(stream *linkStream) []byte {
	buffer := requestBuffers.Get().(*[requestBufferBytes]byte)
	defer requestBuffers.Put(buffer)
	n, err := stream.Read(buffer[:])
	if n == 0 && err != nil {
		return nil
	}
	return bytes.Clone(buffer[:n])
}

// fastCall is a call on the fast path.
type fastCall struct {
	stream   *linkStream
	data     []byte // the request
	request  wholeRequest
	body     wholeBody
	response fastResponse

	lock     sync.Mutex // while the call is handed over or ends
	ended    bool
	handover *handover // the call as net/http has it, after it has taken it over
}

// answer serves a call, and reports whether the stream is for another one.
func (f *fastPath) answer(ctx context.Context, c *fastCall) (goesOn bool) {
	ctx, cancel := context.WithCancel(ctx)
	c.body.rest = c.request.body
	c.body.onEnd = func() { c.stream.memory.watch(c.stream.StreamID(), cancel) }
	c.response.header, c.response.closes = http.Header{}, c.request.close
	c.response.takeOver = func() http.ResponseWriter { return f.handOver(c, cancel) }
	c.stream.markHeaderRead()
	if len(c.request.body) == 0 {
		c.body.end()
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		// The handler has panicked, or called runtime.Goexit, which ends this goroutine.
		value := recover()
		cancel()
		if value != nil {
			f.breakOff(c, value)
		} else if f.finish(c) {
			f.start(c.stream)
		}
	}()
	f.handler.ServeHTTP(&c.response, c.request.toHTTP(ctx, &c.body, f.remoteAddr))
	returned = true
	cancel()
	return f.finish(c)
}

// handOver has net/http take a call over, and returns its response.
func (f *fastPath) handOver(c *fastCall, cancel context.CancelFunc) http.ResponseWriter {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.ended {
		return lostResponse{}
	}
	c.stream.memory.watch(c.stream.StreamID(), nil)
	c.handover = &handover{
		body:   &c.body,
		leave:  cancel,
		writer: make(chan http.ResponseWriter, 1),
		ended:  make(chan any, 1),
		lost:   make(chan struct{}),
	}
	c.stream.again = c.data
	c.stream.handover.Store(c.handover)
	f.pass(c.stream)
	return c.handover.await()
}

// finish sends the response, and reports whether the stream is for another call.
func (f *fastPath) finish(c *fastCall) (goesOn bool) {
	if c.response.other == nil && c.response.status == 0 {
		c.response.WriteHeader(http.StatusOK)
	}
	if c.end() {
		c.response.Unwrap() // what the handler has changed of the header since
		close(c.handover.ended)
		return false
	}
	if err := c.response.send(c.stream); err != nil || c.response.closes {
		c.stream.closeNow()
		return false
	}
	return true
}

// breakOff ends a call whose handler has panicked, as net/http does.
func (f *fastPath) breakOff(c *fastCall, value any) {
	if c.end() {
		c.handover.ended <- value
		return
	}
	if value != http.ErrAbortHandler {
		stack := make([]byte, 64<<10)
		f.log.Printf("http: panic serving %v: %v\n%s", f.remoteAddr, value, stack[:runtime.Stack(stack, false)])
	}
	c.stream.closeNow()
}

// end records that the handler has ended, and reports whether net/http has taken the call over.
func (c *fastCall) end() bool {
	c.lock.Lock()
	c.ended = true
	c.lock.Unlock()
	if c.handover != nil {
		return true
	}
	_ = c.body.Close()
	c.stream.memory.watch(c.stream.StreamID(), nil)
	return false
}
