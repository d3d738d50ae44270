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
	"sync/atomic"

	"connectrpc.com/connect"
)

const maxStackBytes = 6 << 10 // fits into a log record

var (
	errHandlerFailed = errors.New("the handler has panicked: the plugin's log has its stack")
	errorWriter      = connect.NewErrorWriter()
)

// failure is how a function ended that did not return.
type failure struct {
	value any // the value of the panic; nil if runtime.Goexit was called
	stack []byte
}

// runIsolated calls a function in its own goroutine and waits for it, so that runtime.Goexit, which cannot be recovered from,
// ends that goroutine only. It returns nil if the function returned.
func runIsolated(call func()) *failure {
	ended := make(chan *failure, 1)
	go func() {
		growStack()
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

// runHere calls a function, and calls failed if it does not return. That runs on its goroutine, which runtime.Goexit ends
// afterwards.
func runHere(call func(), failed func(*failure)) {
	returned := false
	defer func() {
		if !returned {
			failed(&failure{recover(), debug.Stack()})
		}
	}()
	call()
	returned = true
}

// reason tells what the function did in place of returning.
func (f *failure) reason() string {
	if f.value == nil {
		return "it has called runtime.Goexit"
	}
	return fmt.Sprint(f.value)
}

func (f *failure) shortStack() string { return string(f.stack[:min(len(f.stack), maxStackBytes)]) }

func (f *failure) String() string { return f.reason() + "\n" + f.shortStack() }

// LogValue implements [slog.LogValuer], for the handlers of others. [LogHandler] takes the failure into the text of the record.
func (f *failure) LogValue() slog.Value {
	return slog.GroupValue(slog.String("panic", f.reason()), slog.String("stack", f.shortStack()))
}

// log logs the failure as one record.
func (f *failure) log(what string) { slog.Error(what+" has panicked", slog.Any("", f)) }

// runLogged calls a function, and logs a panic that no caller could be told of.
func runLogged(what string, call func()) {
	if failed := runIsolated(call); failed != nil {
		failed.log(what)
	}
}

// recoverPanics ends a call whose handler panics with the code internal. net/http would close the stream, and the caller
// would conclude that the plugin has died. The caller is told the stack only where the runtime has asked for it.
func recoverPanics(next http.Handler, tellsStack *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := &watchedResponse{ResponseWriter: w}
		call := func() { next.ServeHTTP(response, r) }
		tell := func(failed *failure) {
			if failed.value == http.ErrAbortHandler {
				panic(http.ErrAbortHandler)
			}
			failed.log("the handler of " + r.URL.Path)
			err := errHandlerFailed
			if tellsStack.Load() {
				err = fmt.Errorf("the handler has panicked: %s", failed)
			}
			response.fail(r, err)
		}
		if _, fast := w.(*fastResponse); fast { // whose goroutine may end
			runHere(call, tell)
		} else if failed := runIsolated(call); failed != nil {
			tell(failed)
		}
	})
}

// watchedResponse records how much of a response has been sent.
type watchedResponse struct {
	http.ResponseWriter
	started, hijacked bool
}

func (w *watchedResponse) fail(r *http.Request, reason error) {
	err := connect.NewError(connect.CodeInternal, reason)
	switch {
	case w.hijacked:
	case !w.started:
		clear(w.Header())
		_ = errorWriter.Write(w.ResponseWriter, r, err)
	case strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams):
		_ = errorWriter.Write(bodyOnly{w.ResponseWriter, http.Header{}}, r, err)
	default:
		panic(http.ErrAbortHandler) // the caller must not mistake the part that was sent for the whole
	}
}

func (w *watchedResponse) WriteHeader(status int) {
	w.started = w.started || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedResponse) Write(data []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(data)
}

// Flush implements [http.Flusher].
func (w *watchedResponse) Flush() {
	w.started = true
	_ = http.NewResponseController(w.ResponseWriter).Flush() // the server of a link supports it
}

// Hijack implements [http.Hijacker].
func (w *watchedResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = w.hijacked || err == nil
	return conn, buffered, err
}

// Unwrap is for [http.ResponseController].
func (w *watchedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// bodyOnly appends to the body of a response whose header has been sent.
type bodyOnly struct {
	http.ResponseWriter
	ignored http.Header
}

func (w bodyOnly) Header() http.Header { return w.ignored }

func (bodyOnly) WriteHeader(int) {}
