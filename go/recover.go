package plugmux

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"connectrpc.com/connect"
)

const maxStackText = 6 << 10 // what a log record holds

var (
	errHandlerFailed = errors.New("the handler has panicked: the plugin's log has its stack")
	errorWriter      = connect.NewErrorWriter()
)

// failure is the end of a function that has not returned.
type failure struct {
	value any // of the panic; nil where runtime.Goexit has ended the goroutine
	stack []byte
}

// contain calls a function in a goroutine of its own, and waits for it: what nothing else can stop, runtime.Goexit, ends
// that goroutine alone. It gives nil when the function has returned.
func contain(call func()) *failure {
	ended := make(chan *failure, 1)
	go func() {
		returned := false
		defer func() {
			if returned {
				ended <- nil
				return
			}
			value := recover()
			ended <- &failure{value, debug.Stack()}
		}()
		call()
		returned = true
	}()
	return <-ended
}

// log tells of the failure in one record.
func (f *failure) log(what string, attributes ...any) {
	reason := "it has called runtime.Goexit"
	if f.value != nil {
		reason = fmt.Sprint(f.value)
	}
	stack := string(f.stack[:min(len(f.stack), maxStackText)])
	slog.Error(what+" has panicked", append(attributes, "panic", reason, "stack", stack)...)
}

// containing calls a function that is nobody's call, and logs it when it panics.
func containing(what string, call func()) {
	if failed := contain(call); failed != nil {
		failed.log(what)
	}
}

// recovered answers the call whose handler panics with an error of code internal. By itself net/http would close the
// connection, and the caller would take the plugin for one that has died.
func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := &watchedResponse{ResponseWriter: w}
		failed := contain(func() { next.ServeHTTP(response, r) })
		if failed == nil {
			return
		}
		if failed.value == http.ErrAbortHandler {
			panic(http.ErrAbortHandler)
		}
		failed.log("a handler", "path", r.URL.Path)
		response.fail(r)
	})
}

// watchedResponse knows how much of a response has been sent.
type watchedResponse struct {
	http.ResponseWriter
	begun, hijacked bool
}

func (w *watchedResponse) fail(r *http.Request) {
	err := connect.NewError(connect.CodeInternal, errHandlerFailed)
	switch {
	case w.hijacked:
	case !w.begun:
		clear(w.Header())
		_ = errorWriter.Write(w.ResponseWriter, r, err)
	case strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams):
		_ = errorWriter.Write(bodyAlone{w.ResponseWriter, http.Header{}}, r, err)
	default:
		panic(http.ErrAbortHandler) // so that the part that has been sent is not taken for the whole
	}
}

func (w *watchedResponse) WriteHeader(status int) {
	w.begun = w.begun || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedResponse) Write(data []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(data)
}

// Flush implements [http.Flusher].
func (w *watchedResponse) Flush() {
	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush() // the server of a link can
}

// Hijack implements [http.Hijacker].
func (w *watchedResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = w.hijacked || err == nil
	return conn, buffered, err
}

// Unwrap is for [http.ResponseController].
func (w *watchedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bodyAlone adds to a response whose head has been sent.
type bodyAlone struct {
	http.ResponseWriter
	ignored http.Header
}

func (w bodyAlone) Header() http.Header { return w.ignored }

func (bodyAlone) WriteHeader(int) {}
