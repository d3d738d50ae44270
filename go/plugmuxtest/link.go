// Package plugmuxtest is a small runtime for the tests of plugins. It launches a plugin ([Launch], [LaunchWithPipes]), lets one
// dial ([Hijack]), or serves one on any connection ([NewLink]). It accepts the plugin's registration, calls what the plugin
// serves, and ends the plugin as a runtime does. It refuses what every runtime refuses, and neither restarts nor retries.
//
//	link, err := plugmuxtest.Launch(exec.Command("./kv-plugin"), 10*time.Second, plugmuxtest.Options{})
//	request, err := link.Registration(ctx)
//	kv := kvv1connect.NewKeyValueServiceClient(link.Client(), plugmuxtest.BaseURL)
//	err = link.Shutdown(ctx)
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
	"google.golang.org/protobuf/proto"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
	"plugmux.dev/go/internal/contract"
)

// BaseURL is the base URL of the services of a plugin, for clients that are made with [Link.Client].
const BaseURL = "http://unix"

const drainTimeout = 2 * time.Second

// Options configures a [Link]. The zero value is usable.
type Options struct {
	// Handler serves what the plugin calls in the runtime, except the registration; by default nothing.
	Handler http.Handler
	// OnRegister is called before the registration is answered. An error refuses the plugin.
	OnRegister func(context.Context, *Link, *pluginsv1.RegisterPluginRequest) error
	// Response is the answer to the registration, such as the plugin's configuration; the engine's name and version are
	// filled in.
	Response *pluginsv1.RegisterPluginResponse
}

// Link is the runtime's end of one connection to a plugin.
type Link struct {
	// Session is the yamux session of the link, for tests of streams.
	Session *yamux.Session

	options    Options
	server     *http.Server
	client     *http.Client
	once       sync.Mutex
	request    *pluginsv1.RegisterPluginRequest
	refused    error
	registered chan struct{}
}

// NewLink serves a plugin on a connection, which then belongs to the link. There is no time limit: a plugin may be debugged.
func NewLink(conn io.ReadWriteCloser, options Options) *Link {
	config := yamux.DefaultConfig()
	config.LogOutput = nil
	config.Logger = slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	config.EnableKeepAlive = false // a plugin that is being debugged is slow, and has not ended
	config.ConnectionWriteTimeout, config.StreamOpenTimeout = time.Hour, time.Hour
	session, err := yamux.Server(conn, config)
	if err != nil {
		panic(err) // the configuration is wrong, nothing else fails
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

// Client returns an HTTP client that calls what the plugin serves, at [BaseURL].
func (l *Link) Client() *http.Client { return l.client }

// Registration waits until the plugin has registered, and returns its request. It fails if the plugin's link or the context
// ends first, and if the registration was refused.
func (l *Link) Registration(ctx context.Context) (*pluginsv1.RegisterPluginRequest, error) {
	select {
	case <-l.registered:
		return l.request, nil
	case <-l.Session.CloseChan():
		select {
		case <-l.registered: // before the end, of which this is told at the same time
			return l.request, nil
		default:
		}
		return nil, errors.Join(errors.New("the plugin's link ended before it had registered"), l.refusal())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// refusal returns why the last registration was refused; nil if none was.
func (l *Link) refusal() error {
	l.once.Lock()
	defer l.once.Unlock()
	return l.refused
}

// Shutdown ends the plugin as a runtime does: it calls Shutdown, sends go-away, waits up to 2 s for open streams to end, and
// closes the link. Its error is that of the call.
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
		return nil, connect.NewError(connect.CodeInternal, errors.New("cannot rerun registration: the plugin has registered on this link"))
	}
	if err := l.check(ctx, request); err != nil {
		l.refused = err
		return nil, err
	}
	response := &pluginsv1.RegisterPluginResponse{}
	proto.Merge(response, l.options.Response) // several links may have the same options
	response.EngineName, response.EngineVersion = "plugmuxtest", "v1.0.0"
	l.request = request
	close(l.registered)
	return response, nil
}

func (l *Link) check(ctx context.Context, request *pluginsv1.RegisterPluginRequest) error {
	if err := contract.CheckRegistration(request); err != nil {
		return err
	}
	if l.options.OnRegister == nil {
		return nil
	}
	return l.options.OnRegister(ctx, l, request)
}
