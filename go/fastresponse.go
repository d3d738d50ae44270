package plugmux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBufferedBytes is the size up to which net/http holds back the body of a response to find its length.
const maxBufferedBytes = 2048

var errStreamLost = errors.New("the stream has been closed")

// fastResponse is the response to a call on the fast path. It holds what the handler writes until the handler has returned.
// When the handler does what needs more than that, net/http takes the call over: when it writes more than maxBufferedBytes,
// flushes, hijacks the connection, sets a deadline, or sends a status or a field that concerns the connection.
type fastResponse struct {
	header http.Header
	sent   http.Header // as the header was when the status was given
	status int         // 0 before it is given
	body   []byte
	closes bool // the connection ends with the response

	takeOver func() http.ResponseWriter // has net/http take the call over
	other    http.ResponseWriter        // that of net/http, after it has
}

// Header implements [http.ResponseWriter].
func (w *fastResponse) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *fastResponse) WriteHeader(status int) {
	if w.other == nil && w.status == 0 && isPlainResponse(status, w.header) {
		w.status, w.sent = status, w.header.Clone()
		return
	}
	w.Unwrap().WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *fastResponse) Write(data []byte) (int, error) {
	if w.other == nil && w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.other == nil && len(w.body)+len(data) <= maxBufferedBytes {
		w.body = append(w.body, data...)
		return len(data), nil
	}
	return w.Unwrap().Write(data)
}

// Unwrap returns the response of net/http, which takes the call over. [http.ResponseController] needs it.
func (w *fastResponse) Unwrap() http.ResponseWriter {
	if w.other == nil {
		w.other = w.takeOver()
		if w.status != 0 {
			setHeader(w.other, w.sent)
			w.other.WriteHeader(w.status)
			_, _ = w.other.Write(w.body) // an error comes again with the next write
		}
	}
	setHeader(w.other, w.header) // the handler may have changed it: for trailers, or for a status that is still to come
	return w.other
}

func setHeader(w http.ResponseWriter, header http.Header) {
	clear(w.Header())
	maps.Copy(w.Header(), header)
}

// isPlainResponse reports whether a response is framed by nothing but a length that its body tells.
func isPlainResponse(status int, header http.Header) bool {
	if status < http.StatusOK || status > 999 || status == http.StatusNoContent || status == http.StatusNotModified {
		return false
	}
	for name := range header {
		switch name {
		case "Connection", "Content-Length", "Trailer", "Transfer-Encoding":
			return false
		}
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return false
		}
	}
	return true
}

var responseBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// send writes the response, as net/http writes it.
func (w *fastResponse) send(stream io.Writer) error {
	out := responseBuffers.Get().(*bytes.Buffer)
	defer responseBuffers.Put(out)
	out.Reset()
	w.encode(out)
	_, err := stream.Write(out.Bytes())
	return err
}

func (w *fastResponse) encode(out *bytes.Buffer) {
	if text := http.StatusText(w.status); text != "" {
		out.WriteString("HTTP/1.1 ")
		out.Write(strconv.AppendInt(out.AvailableBuffer(), int64(w.status), 10))
		out.WriteString(" " + text + "\r\n")
	} else {
		fmt.Fprintf(out, "HTTP/1.1 %03d status code %d\r\n", w.status, w.status)
	}
	_ = w.sent.Write(out) // never fails
	if _, given := w.sent["Date"]; !given {
		out.WriteString("Date: ")
		out.Write(time.Now().UTC().AppendFormat(out.AvailableBuffer(), http.TimeFormat))
		out.WriteString("\r\n")
	}
	out.WriteString("Content-Length: ")
	out.Write(strconv.AppendInt(out.AvailableBuffer(), int64(len(w.body)), 10))
	out.WriteString("\r\n")
	if _, given := w.sent["Content-Type"]; !given && w.sent.Get("Content-Encoding") == "" && len(w.body) > 0 {
		out.WriteString("Content-Type: " + http.DetectContentType(w.body) + "\r\n")
	}
	if w.closes {
		out.WriteString("Connection: close\r\n")
	}
	out.WriteString("\r\n")
	out.Write(w.body)
}

// handover is a call that net/http takes over from the fast path: it reads the request once more, and its handler waits for
// the one that is running.
type handover struct {
	body   *wholeBody
	leave  context.CancelFunc       // ends the context of the running handler
	writer chan http.ResponseWriter // receives that of net/http
	ended  chan any                 // receives what the running handler has panicked with; closed when it has returned
	lost   chan struct{}            // closed when net/http has closed the stream and not called its handler
	once   sync.Once
}

// await returns the response of net/http.
func (h *handover) await() http.ResponseWriter {
	select {
	case w := <-h.writer:
		return w
	case <-h.lost:
		return lostResponse{}
	}
}

// serve is what net/http's handler does in place of handling the request.
func (h *handover) serve(w http.ResponseWriter, r *http.Request) {
	h.body.handOver(r.Body)
	stop := context.AfterFunc(r.Context(), h.leave)
	defer stop()
	h.writer <- w
	if value, panicked := <-h.ended; panicked {
		panic(value)
	}
}

func (h *handover) abandon() { h.once.Do(func() { close(h.lost) }) }

// takeOverCalls serves the calls that come from the fast path, before the requests of the streams that come from there.
func takeOverCalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stream, ok := r.Context().Value(streamKey{}).(*linkStream); ok {
			if h := stream.handover.Swap(nil); h != nil {
				h.serve(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// lostResponse is a response on a stream that has been closed.
type lostResponse struct{}

func (lostResponse) Header() http.Header       { return http.Header{} }
func (lostResponse) WriteHeader(int)           {}
func (lostResponse) Write([]byte) (int, error) { return 0, errStreamLost }
