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

// Host is the HTTP client for what the runtime serves. It finds the link in the context of each call, so one client of
// a service, made once, serves for the life of the program and follows the plugin from link to link:
//
//	audit := kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL)
//
// The context must descend from that of a handler or of [Config.Background].
var Host = &http.Client{Transport: hostTransport{}}

// Runtime is what the runtime said of itself when it registered the plugin: its name and version, the protocol version
// it has chosen, and the plugin's configuration. It is nil where the context is not one of a link.
func Runtime(ctx context.Context) *pluginsv1.RegisterPluginResponse {
	link, err := linkOf(ctx)
	if err != nil {
		return nil
	}
	return link.gate.response
}

// maxHeadBytes is the size of the largest head of a request, nearly.
const maxHeadBytes = 64 << 10

// forever is a time limit that nothing reaches.
const forever = 100 * 365 * 24 * time.Hour

// link is one connection to a runtime: a yamux session, and an HTTP server and an HTTP client on its streams.
type link struct {
	session    *yamux.Session
	intake     *intake
	limits     Limits
	server     *http.Server
	transport  *http.Transport
	references references
	gate       gate
	served     chan error
	calls      atomic.Int64    // under way that end by themselves: no streams
	left       chan struct{}   // closed when the plugin's stay is over, and the link about to be closed
	ctx        context.Context // of everything that is served on the link
	cancel     context.CancelFunc
}

// newLink serves a handler on a connection, which then belongs to the link. Of the context it takes the values only:
// handlers see it end when the link is closed, not when it is merely about to be.
func newLink(ctx context.Context, conn io.ReadWriteCloser, handler http.Handler, limits Limits) *link {
	beneath := newLinkConn(conn, limits)
	session, err := yamux.Client(beneath, muxConfig())
	if err != nil {
		panic(err) // only a wrong configuration is refused
	}
	l := &link{session: session, intake: beneath.intake, limits: limits, served: make(chan error, 1), left: make(chan struct{}), gate: newGate()}
	l.ctx, l.cancel = context.WithCancel(withLink(context.WithoutCancel(ctx), l))
	l.transport = &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return l.open() },
		DisableKeepAlives:  true, // one stream per request: "no open streams" means "nothing in flight"
		DisableCompression: true,
	}
	l.server = &http.Server{
		Handler:     begun(l.gate.guard(l.counted(duplex(recovered(handler))))),
		BaseContext: func(net.Listener) context.Context { return l.ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, streamKey{}, conn)
		},
		MaxHeaderBytes: maxHeadBytes,
		ErrorLog:       slog.NewLogLogger(slog.Default().Handler(), slog.LevelError),
	}
	go func() { l.served <- l.server.Serve(linkListener{session, l.intake}) }()
	return l
}

// counted counts the calls that are under way.
func (l *link) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams) || r.Header.Get("Upgrade") != ""
		if !stream && r.URL.Path != pluginsv1connect.PluginServiceShutdownProcedure {
			l.calls.Add(1)
			defer l.calls.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}

// drain waits for the calls under way, so that what they use is cleaned up behind them.
func (l *link) drain() {
	deadline, cancel := context.WithTimeout(context.Background(), l.limits.CloseTime)
	defer cancel()
	for l.calls.Load() > 0 && deadline.Err() == nil && !l.session.IsClosed() {
		pause(deadline, time.Millisecond)
	}
}

type streamKey struct{}

// begun tells a stream that the head of its request has been read.
func begun(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stream, ok := r.Context().Value(streamKey{}).(*linkStream); ok {
			stream.begin()
		}
		next.ServeHTTP(w, r)
	})
}

// open opens a stream to the runtime.
func (l *link) open() (net.Conn, error) {
	stream, err := l.session.OpenStream()
	if err != nil {
		return nil, err
	}
	conn := &linkStream{Stream: stream, intake: l.intake}
	conn.begin()
	return conn, nil
}

// muxConfig is for a link within one machine: the end of the peer closes it. A peer that is slow, because it is being
// debugged or the machine was asleep, has not ended, so that nothing is closed because of the time that it takes.
func muxConfig() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = nil
	config.Logger = slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	config.AcceptBacklog = acceptBacklog
	config.MaxStreamWindowSize = streamWindowBytes
	config.StreamCloseTimeout = streamCloseTimeout
	config.EnableKeepAlive = false
	config.StreamOpenTimeout = 0
	config.ConnectionWriteTimeout = forever
	return config
}

// register announces the plugin, and opens the gate when the runtime has accepted it.
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
			_ = l.session.Close() // nothing may be answered any more: the runtime would take the plugin for one that works
		}
	}
	if err == nil {
		l.intake.register()
	}
	l.gate.resolve(response, err)
	return err
}

// endWith closes the link when the process of the runtime ends, until the function that it gives is called: a child
// that the runtime has forked may hold the other end open for ever.
func (l *link) endWith(pid int) func() {
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

// close refuses new streams, lets the open ones end, and closes. yamux's own Close would end the connection without a
// word: the peer could not tell an end in order from a crash.
func (l *link) close() {
	deadline, cancel := context.WithTimeout(context.Background(), l.limits.CloseTime)
	defer cancel()
	saidGoodbye := make(chan error, 1)
	go func() { saidGoodbye <- l.session.GoAway() }()
	select {
	case <-saidGoodbye:
	case <-deadline.Done():
	}
	for l.session.NumStreams() > 0 && deadline.Err() == nil && !l.session.IsClosed() {
		pause(deadline, time.Millisecond)
	}
	_ = l.session.Close()
	l.cancel()
	<-l.served
	handlers, cancel := context.WithTimeout(context.Background(), l.limits.CloseTime)
	defer cancel()
	if err := l.server.Shutdown(handlers); errors.Is(err, context.DeadlineExceeded) {
		slog.Warn("handlers have not ended with their link")
	}
	l.references.close()
}

type linkKey struct{}

func withLink(ctx context.Context, l *link) context.Context {
	return context.WithValue(ctx, linkKey{}, l)
}

func linkOf(ctx context.Context) (*link, error) {
	l, ok := ctx.Value(linkKey{}).(*link)
	if !ok {
		return nil, errors.New("no runtime in this context: it must descend from that of a handler or of Config.Background")
	}
	return l, nil
}

// hostTransport sends each request over the link in its context.
type hostTransport struct{}

func (hostTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	l, err := linkOf(request.Context())
	if err != nil {
		return nil, err
	}
	response, err := asDuplex(l.transport.RoundTrip(request))
	if err == nil && isRPC(request) {
		response.Body = messageLimit{l.limits.MessageBytes, l.intake}.body(response.Header, response.Body, response.ContentLength)
	}
	return response, err
}

// isRPC tells whether a request is a call, in any of the protocols of connect-go.
func isRPC(request *http.Request) bool {
	return request.Header.Get("Connect-Protocol-Version") != "" ||
		strings.HasPrefix(request.Header.Get("Content-Type"), "application/grpc")
}
