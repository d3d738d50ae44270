// Package plugmuxtest is a small runtime, for the tests of plugins: it launches a plugin or lets one dial, accepts its
// registration, calls what it serves, and ends it as a runtime does. It keeps strictly to the wire contract.
package plugmuxtest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
)

// BaseURL is the base URL of what a plugin serves, for clients made with [Link.Client].
const BaseURL = "http://unix"

const drainTimeout = 2 * time.Second

// Options are what a [Link] does beyond the bare minimum. The zero value is usable.
type Options struct {
	// Handler serves whatever the plugin calls, beside the registration.
	Handler http.Handler
	// OnRegister runs before the registration is answered. An error refuses the plugin.
	OnRegister func(context.Context, *Link, *pluginsv1.RegisterPluginRequest) error
	// Response to the registration; engine name and version are filled in.
	Response *pluginsv1.RegisterPluginResponse
}

// Link is the runtime's end of one connection to a plugin.
type Link struct {
	// Session is the yamux session beneath.
	Session *yamux.Session

	options    Options
	server     *http.Server
	client     *http.Client
	once       sync.Mutex
	request    *pluginsv1.RegisterPluginRequest
	registered chan struct{}
}

// NewLink serves a plugin on a connection, which then belongs to the link.
func NewLink(conn io.ReadWriteCloser, options Options) *Link {
	config := yamux.DefaultConfig()
	config.LogOutput = nil
	config.Logger = slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	config.EnableKeepAlive = false // a plugin that is being debugged is slow, and has not ended
	config.ConnectionWriteTimeout, config.StreamOpenTimeout = time.Hour, time.Hour
	session, err := yamux.Server(conn, config)
	if err != nil {
		panic(err) // only a wrong configuration is refused
	}
	l := &Link{Session: session, options: options, registered: make(chan struct{})}
	l.client = &http.Client{Transport: &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return session.Open() },
		DisableKeepAlives:  true,
		DisableCompression: true,
	}}
	mux := http.NewServeMux()
	mux.Handle(pluginsv1connect.NewRegisterServiceHandler(registerService{l}))
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	if options.Handler != nil {
		mux.Handle("/", options.Handler)
	}
	l.server = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelError)}
	go func() { _ = l.server.Serve(session) }()
	return l
}

// Client calls what the plugin serves.
func (l *Link) Client() *http.Client { return l.client }

// Registration waits until the plugin has registered, and gives what it said of itself.
func (l *Link) Registration(ctx context.Context) (*pluginsv1.RegisterPluginRequest, error) {
	select {
	case <-l.registered:
		return l.request, nil
	case <-l.Session.CloseChan():
		return nil, errors.New("the plugin went away before it had registered")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Shutdown asks the plugin to end, refuses new streams, lets the open ones end, and closes.
func (l *Link) Shutdown(ctx context.Context) error {
	_, err := pluginsv1connect.NewPluginServiceClient(l.client, BaseURL).Shutdown(ctx, &pluginsv1.ShutdownRequest{})
	drain, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if goAway := l.Session.GoAway(); err == nil && !l.Session.IsClosed() {
		err = goAway
	}
	for l.Session.NumStreams() > 0 && drain.Err() == nil && !l.Session.IsClosed() {
		time.Sleep(time.Millisecond)
	}
	_ = l.Session.Close()
	return err
}

type registerService struct{ link *Link }

func (s registerService) RegisterPlugin(ctx context.Context, request *pluginsv1.RegisterPluginRequest) (*pluginsv1.RegisterPluginResponse, error) {
	l := s.link
	l.once.Lock()
	defer l.once.Unlock()
	if l.request != nil {
		return nil, connect.NewError(connect.CodeInternal, errors.New("cannot rerun registration"))
	}
	if l.options.OnRegister != nil {
		if err := l.options.OnRegister(ctx, l, request); err != nil {
			return nil, err
		}
	}
	response := l.options.Response
	if response == nil {
		response = &pluginsv1.RegisterPluginResponse{}
	}
	response.EngineName, response.EngineVersion = "plugmuxtest", "v1.0.0"
	l.request = request
	close(l.registered)
	return response, nil
}
