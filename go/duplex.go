package plugmux

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// connectStreams is the prefix of the content type of streaming RPCs in the Connect protocol.
const connectStreams = "application/connect+"

// duplex lets a streaming RPC send and receive at the same time. HTTP/1.1 on a yamux stream can do that, but connect-go
// allows bidirectional streams over HTTP/2 only, so the request is presented as HTTP/2.
func duplex(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams) {
			next.ServeHTTP(w, r)
			return
		}
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex() // the server of a link supports it
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		body, stop := readAhead(r.Body, cancel)
		if limit, given := timeoutOf(r.Header); given {
			timer := time.AfterFunc(limit, func() { _ = body.expire() })
			defer timer.Stop()
		}
		defer stop(controller)
		r = r.WithContext(ctx)
		r.ProtoMajor, r.Body = 2, body
		next.ServeHTTP(w, r)
	})
}

// readAhead reads a body in the background, and calls broken when the body ends with an error. Without it, net/http would
// notice that the caller has left only after the whole request has been read.
func readAhead(body io.Reader, broken func()) (bodyPipe, func(*http.ResponseController)) {
	reader, writer := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(writer, body)
		if err != nil && err != io.ErrClosedPipe { // by the deadline, or as nobody reads any more
			broken()
		}
		_ = writer.CloseWithError(err)
	}()
	return bodyPipe{reader, writer}, func(controller *http.ResponseController) {
		_ = reader.Close()
		select {
		case <-done:
		default: // the caller has not ended its request: stop reading it
			_ = controller.SetReadDeadline(time.Now())
			<-done
		}
	}
}

// bodyPipe gives a handler what has been read ahead.
type bodyPipe struct {
	*io.PipeReader
	writer *io.PipeWriter
}

// expire lets reads fail, as the deadline of the call is over: connect-go waits for further messages as long as the link lasts.
func (b bodyPipe) expire() error { return b.writer.CloseWithError(errBodyLate) }

// asDuplex presents the response of a streaming RPC as HTTP/2, for the same reason.
func asDuplex(response *http.Response, err error) (*http.Response, error) {
	if err == nil && strings.HasPrefix(response.Header.Get("Content-Type"), connectStreams) {
		response.ProtoMajor = 2
	}
	return response, err
}
