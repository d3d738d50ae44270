package plugmux

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// connectStreams begins the content type of every stream of the Connect protocol, in either direction.
const connectStreams = "application/connect+"

// duplex lets requests and responses of a stream pass at the same time. HTTP/1.1 on a stream of the mux can do so, but
// connect-go believes it of HTTP/2 alone, and refuses streams both ways over anything less.
func duplex(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams) {
			next.ServeHTTP(w, r)
			return
		}
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex() // the server of a link can
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		body, stop := readAhead(r.Body, cancel)
		defer stop(controller)
		r = r.WithContext(ctx)
		r.ProtoMajor, r.Body = 2, body
		next.ServeHTTP(w, r)
	})
}

// readAhead reads a body while its handler does something else, and tells when it breaks off: net/http notices that a
// caller has left when it has read all of a request, and not before.
func readAhead(body io.Reader, broken func()) (io.ReadCloser, func(*http.ResponseController)) {
	reader, writer := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(writer, body)
		if err != nil {
			broken()
		}
		_ = writer.CloseWithError(err)
	}()
	return reader, func(controller *http.ResponseController) {
		_ = reader.Close()
		select {
		case <-done:
		default: // the caller has not ended its request: it is read no further
			_ = controller.SetReadDeadline(time.Now())
			<-done
		}
	}
}

// asDuplex lets connect-go take the response to a stream both ways.
func asDuplex(response *http.Response, err error) (*http.Response, error) {
	if err == nil && strings.HasPrefix(response.Header.Get("Content-Type"), connectStreams) {
		response.ProtoMajor = 2
	}
	return response, err
}
