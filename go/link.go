package plugmux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
)

// HostURL is the base URL of what the runtime serves, for clients that are made with [Host].
const HostURL = "http://unix"

// Host is the HTTP client that calls the runtime. It finds the link in the context of each call, so one service client is
// enough for the life of the program, also when the plugin reconnects:
//
//	audit := kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL)
//
// The context must be derived from that of a handler or of [Config.Background]; with any other the call fails.
var Host = &http.Client{Transport: hostTransport{}}

// Runtime returns the runtime's answer to the registration: its name and version, the protocol version it has chosen, and
// the plugin's configuration. It returns nil if the context is not derived from that of a handler or of
// [Config.Background].
func Runtime(ctx context.Context) *pluginsv1.RegisterPluginResponse {
	link, err := linkOf(ctx)
	if err != nil {
		return nil
	}
	return link.gate.response
}

// maxRequestHeaderBytes limits the header of a request; net/http adds 4 KiB.
const maxRequestHeaderBytes = 64 << 10

// noTimeLimit is a time limit that is never reached: yamux has no value for none.
const noTimeLimit = 100 * 365 * 24 * time.Hour

// link is one connection to a runtime: a yamux session with an HTTP server and an HTTP client on its streams.
type link struct {
	session    *yamux.Session
	memory     *linkMemory
	limits     Limits
	server     *http.Server
	transport  *http.Transport
	references references
	gate       gate
	fastPath   *fastPath
	accepting  chan struct{}   // closed when no further stream is accepted
	calls      atomic.Int64    // unary calls that the plugin is serving
	debug      atomic.Bool     // whether errors of the plugin's handlers tell their stack to the runtime
	drained    time.Time       // when the calls that the plugin is serving must have ended
	closing    chan struct{}   // closed when the plugin has cleaned up and the link is about to be closed
	ctx        context.Context // of everything that is served on the link
	cancel     context.CancelFunc
}

// newLink serves a handler on a connection, which then belongs to the link. Handlers see the values of the context, but not
// its end: their context ends when the link has been closed.
func newLink(ctx context.Context, conn io.ReadWriteCloser, handler http.Handler, limits Limits) *link {
	return startLink(ctx, conn, handler, limits, muxConfig(), false)
}

// newRemoteLink is [newLink] for a peer on another machine.
func newRemoteLink(ctx context.Context, conn io.ReadWriteCloser, handler http.Handler, limits Limits) *link {
	return startLink(ctx, conn, handler, limits, remoteMuxConfig(), true)
}

// startLink starts a link. With ownCredit it gives the credit itself, and the window of config is yamuxWindowBytes.
func startLink(ctx context.Context, conn io.ReadWriteCloser, handler http.Handler, limits Limits, config *yamux.Config, ownCredit bool) *link {
	counted := newLinkConn(conn, limits)
	if ownCredit {
		counted.giveCredit()
	}
	session, err := yamux.Client(counted, config)
	if err != nil {
		panic(err) // the configuration is wrong, nothing else fails
	}
	l := &link{
		session:   session,
		memory:    counted.memory,
		limits:    limits,
		accepting: make(chan struct{}),
		closing:   make(chan struct{}),
		gate:      newGate(),
	}
	l.ctx, l.cancel = context.WithCancel(withLink(context.WithoutCancel(ctx), l))
	l.transport = &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return l.open() },
		DisableKeepAlives:  true, // one stream per request: "no open streams" means "nothing in flight"
		DisableCompression: true,
	}
	handler = l.gate.guard(l.countCalls(duplex(recoverPanics(handler, &l.debug))))
	l.server = &http.Server{
		Handler:     takeOverCalls(markHeaderRead(handler)),
		BaseContext: func(net.Listener) context.Context { return l.ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, streamKey{}, conn)
		},
		MaxHeaderBytes: maxRequestHeaderBytes,
		ErrorLog:       slog.NewLogLogger(slog.Default().Handler(), slog.LevelError),
	}
	passed := newPassedStreams(session.Addr())
	l.fastPath = &fastPath{
		handler:    handler,
		context:    context.WithValue(context.WithValue(l.ctx, http.ServerContextKey, l.server), http.LocalAddrContextKey, session.LocalAddr()),
		remoteAddr: session.RemoteAddr().String(),
		log:        l.server.ErrorLog,
		pass:       passed.pass,
	}
	go func() { _ = l.server.Serve(passed) }() // until Shutdown
	go l.accept()
	if ownCredit {
		go func() { // until the answer has come, or the session is over
			if roundTrip, err := session.Ping(); err == nil {
				l.memory.measured(roundTrip)
			}
		}()
	}
	return l
}

// accept serves the streams that the runtime opens, until the session is over.
func (l *link) accept() {
	defer close(l.accepting)
	listener := linkListener{l.session, l.memory}
	for {
		stream, err := listener.AcceptStream()
		if err != nil {
			return
		}
		l.fastPath.start(stream)
	}
}

// countCalls counts the unary calls and plain HTTP requests that are being served.
func (l *link) countCalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams) || r.Header.Get("Upgrade") != ""
		if !stream && r.URL.Path != pluginsv1connect.PluginServiceShutdownProcedure {
			l.calls.Add(1)
			defer l.calls.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}

// drain waits for the counted calls to end, for [Limits.DrainTimeout] at most, so that clean-up code runs after them.
func (l *link) drain() {
	l.drained = time.Now().Add(l.limits.DrainTimeout)
	deadline, cancel := context.WithDeadline(context.Background(), l.drained)
	defer cancel()
	for l.calls.Load() > 0 && deadline.Err() == nil && !l.session.IsClosed() {
		pause(deadline, time.Millisecond)
	}
}

type streamKey struct{}

// markHeaderRead tells the stream of a request that the request's header has been read.
func markHeaderRead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stream, ok := r.Context().Value(streamKey{}).(*linkStream); ok {
			stream.markHeaderRead()
		}
		next.ServeHTTP(w, r)
	})
}

// reason tells why the session, which is over, has ended. hashicorp/yamux tells it to who accepts.
func (l *link) reason() string {
	for {
		switch _, err := l.session.AcceptStream(); {
		case errors.Is(err, io.EOF):
			return "the connection was closed"
		case err != nil:
			return err.Error()
		}
	}
}

// open opens a yamux stream to the runtime.
func (l *link) open() (net.Conn, error) {
	stream, err := l.session.OpenStream()
	if err != nil {
		return nil, err
	}
	conn := &linkStream{Stream: stream, memory: l.memory}
	conn.markHeaderRead()
	return conn, nil
}

// muxConfig is the configuration for a peer on the same machine. The kernel closes the connection when the peer's process
// ends, so there is no time limit: a peer that is being debugged, or whose machine was asleep, is slow and not dead.
func muxConfig() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = nil
	config.Logger = slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	config.AcceptBacklog = acceptBacklog
	config.MaxStreamWindowSize = streamWindowBytes
	config.StreamCloseTimeout = streamCloseTimeout
	config.EnableKeepAlive = false
	config.StreamOpenTimeout = 0
	config.ConnectionWriteTimeout = noTimeLimit
	return config
}

// remoteMuxConfig is the configuration for a peer on another machine, which a network may cut off without a word.
func remoteMuxConfig() *yamux.Config {
	config := muxConfig()
	config.EnableKeepAlive = true
	config.KeepAliveInterval = remoteKeepAlive
	config.ConnectionWriteTimeout = remoteKeepAlive
	config.MaxStreamWindowSize = yamuxWindowBytes
	return config
}

// register sends the registration, and opens the gate when the runtime has accepted it.
func (l *link) register(ctx context.Context, announcement *pluginsv1.RegisterPluginRequest, timeout time.Duration, configure func(string) error) error {
	ctx, cancel := context.WithTimeout(withLink(ctx, l), timeout)
	defer cancel()
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	response, err := pluginsv1connect.NewRegisterServiceClient(Host, HostURL, plain).RegisterPlugin(ctx, announcement)
	if err != nil {
		err = fmt.Errorf("the runtime did not register plugin %q: %w", announcement.GetName(), err)
	}
	if err == nil && configure != nil {
		if err = configure(response.GetConfigurationJson()); err != nil {
			_ = l.session.Close() // an answer to any further request would tell the runtime that the plugin works
		}
	}
	if err == nil {
		l.debug.Store(response.GetDebug())
		l.memory.register()
	}
	l.gate.resolve(response, err)
	return err
}

// closeWithProcess closes the link when the runtime's process ends: a child that the runtime has forked may keep the other
// end of the connection open. The returned function ends the watch.
func (l *link) closeWithProcess(pid int) func() {
	if pid == 0 {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if awaitProcess(ctx, pid) {
			_ = l.session.Close()
		}
	}()
	return func() {
		stop()
		<-stopped
	}
}

// close sends go-away, waits for open streams to end, and closes the connection. yamux's own Close sends no go-away, so the
// peer could not tell an orderly end from a crash.
func (l *link) close() {
	last := time.Now().Add(l.limits.CloseTimeout)
	if l.drained.After(last) {
		last = l.drained
	}
	deadline, cancel := context.WithDeadline(context.Background(), last)
	defer cancel()
	goAwaySent := make(chan error, 1)
	go func() { goAwaySent <- l.session.GoAway() }()
	select {
	case <-goAwaySent:
	case <-deadline.Done():
	}
	for l.session.NumStreams() > 0 && deadline.Err() == nil && !l.session.IsClosed() {
		pause(deadline, time.Millisecond)
	}
	_ = l.session.Close()
	l.cancel()
	<-l.accepting
	handlers, cancel := context.WithTimeout(context.Background(), l.limits.CloseTimeout)
	defer cancel()
	err := l.server.Shutdown(handlers)
	for l.fastPath.serving.Load() > 0 && err == nil {
		pause(handlers, time.Millisecond)
		err = handlers.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("handlers are still running although their link has been closed: return when the context ends",
			"after", l.limits.CloseTimeout)
	}
	if !l.references.close(l.limits.CloseTimeout) {
		slog.Warn("OnRelease functions are still running although the link has been closed", "after", l.limits.CloseTimeout)
	}
}

type linkKey struct{}

func withLink(ctx context.Context, l *link) context.Context {
	return context.WithValue(ctx, linkKey{}, l)
}

func linkOf(ctx context.Context) (*link, error) {
	l, ok := ctx.Value(linkKey{}).(*link)
	if !ok {
		return nil, errors.New("the context has no runtime: derive it from that of a handler or of Config.Background")
	}
	return l, nil
}

// hostTransport sends each request over the link in the request's context.
type hostTransport struct{}

func (hostTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	l, err := linkOf(request.Context())
	if err != nil {
		return nil, err
	}
	response, err := asDuplex(l.transport.RoundTrip(request))
	if err == nil && isRPC(request) {
		response.Body = messageLimit{l.limits.MaxMessageBytes, l.memory}.body(response.Header, response.Body, response.ContentLength)
	}
	return response, err
}

// isRPC reports whether a request is an RPC in one of the protocols of connect-go.
func isRPC(request *http.Request) bool {
	return request.Header.Get("Connect-Protocol-Version") != "" ||
		strings.HasPrefix(request.Header.Get("Content-Type"), "application/grpc")
}
