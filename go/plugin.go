// Package plugmux makes a Go program a plugin.
//
// A plugin and its runtime share one connection, multiplexed by yamux. On it both serve and both call Connect services, plain
// HTTP and raw byte streams. Either the runtime launches the plugin, or the plugin starts by itself and dials the runtime's
// socket; [Main] does what its environment asks for:
//
//	func main() {
//		plugmux.Main(plugmux.Config{Version: "v1.0.0"},
//			plugmux.Secrets("go/**", secrets),
//			plugmux.Service(kvv1connect.NewKeyValueServiceHandler(&store{})),
//		)
//	}
//
// The protocol does not use standard output and standard error: a plugin may print what it likes.
package plugmux

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	"plugmux.dev/go/internal/contract"
	"plugmux.dev/go/internal/remote"
)

// Config describes a plugin and says where it finds its runtime. The zero value is usable.
type Config struct {
	// Name is the name to register under if the plugin starts by itself; the file name of the program by default. A runtime
	// names the plugins that it launches.
	Name string
	// Version is the plugin's version, such as "v1.2.3", "v1.2" or "v1"; "v0.0.0" by default.
	Version string
	// Socket is the address that the plugin dials if it was not launched: "unix:/path" or "unix:@abstract"; "tls://host:port"
	// for a runtime on another machine; "tls+dns://name:port" or "tls+srv://_service._tcp.name" for every runtime of a name;
	// or several addresses separated by commas, with a link to each. It is the value of PLUGMUX_SOCKET by default.
	Socket string
	// Listen is the address at which the plugin lets runtimes connect, "tls://host:port"; the value of PLUGMUX_LISTEN by
	// default. A plugin listens or dials.
	Listen string
	// TLS is how the plugin shows who it is on a network.
	TLS TLS
	// PeerUsers lists names or ids of users whose runtime the plugin may dial, in addition to the plugin's own user, root and
	// the users in PLUGMUX_PEER_USERS, which are separated by commas.
	PeerUsers []string

	// Background is called in its own goroutine after every successful registration. With its context the plugin can call
	// the runtime (see [Host]). The context ends when the link ends, or when the plugin is asked to end and the calls that it
	// serves have ended, streams not counted. The plugin then waits up to [Limits.CloseTimeout] for Background to return,
	// with the link still open: this is the place to clean up.
	Background func(context.Context)

	// Limits bounds what the plugin accepts from its runtime, and how long its end may take.
	Limits Limits

	// Health reports whether the plugin is ready; by default it always is.
	Health *Health
	// Logs sends log records to the runtime; see [NewLogHandler].
	Logs *LogHandler

	// ProtocolVersions lists the versions of the application's own protocol that the plugin speaks; version 1 by default.
	ProtocolVersions []uint32
	// Configuration describes the configuration that the plugin accepts, which [Runtime] returns as JSON. [Settings] sets it
	// and decodes the configuration.
	Configuration *pluginsv1.ConfigurationSchema
	// Priority ranks the plugin among those that serve the same service: the highest is called first.
	Priority int32
	// Replica allows several plugins to register under the same name.
	Replica bool
	// Capabilities are names of the author's choice, by which the host selects plugins.
	Capabilities []string
	// Labels is metadata of the author's choice, which the runtime lists.
	Labels map[string]string
}

// Run serves a runtime until the context ends, the runtime asks the plugin to end, or the link of a launched plugin ends; it
// returns nil then. Calls that the plugin is serving have [Limits.DrainTimeout] to end, 10 s by default. A plugin that started
// by itself reconnects when its runtime goes away, after 0.2 s at first and 10 s at most, or 30 s over a network.
//
// Run returns [ErrNoRuntime] if the process has no runtime, and another error if the first connection to a unix socket or the
// registration there fails. Later failures are retried, and over a network all of them.
func Run(ctx context.Context, config Config, servables ...Servable) error {
	launch, err := takeLaunchConfig()
	if err != nil {
		return err
	}
	return newPlugin(config, servables).run(ctx, launch)
}

// plugin is the part of a plugin that all its links share.
type plugin struct {
	config       Config
	announcement *pluginsv1.RegisterPluginRequest
	handler      http.Handler
	configure    func(string) error
	stop         context.CancelFunc
	runtimes     runtimeLinks
}

func newPlugin(config Config, servables []Servable) *plugin {
	if config.Name == "" {
		config.Name = strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	}
	if config.Version == "" {
		config.Version = "v0.0.0"
	}
	config.Limits = config.Limits.orDefault()
	p := &plugin{config: config, announcement: &pluginsv1.RegisterPluginRequest{
		Name:             config.Name,
		Version:          config.Version,
		ProtocolVersions: config.ProtocolVersions,
		Configuration:    config.Configuration,
		Priority:         config.Priority,
		Replica:          config.Replica,
		Capabilities:     config.Capabilities,
		Labels:           config.Labels,
	}}
	linkApp := newLinkApp(p.announcement, servables)
	linkApp.serve(pluginsv1connect.NewPluginServiceHandler(shutdownService{p}))
	linkApp.serve(plugmuxv1connect.NewDiagnosticsServiceHandler(diagnosticsService{}))
	linkApp.serve(plugmuxv1connect.NewReferenceServiceHandler(referenceService{}))
	linkApp.mux.HandleFunc(referencePrefix+"{reference}/", serveLent)
	linkApp.serveHealth(config.Health)
	linkApp.serveReflection()
	p.handler = linkApp
	p.configure = linkApp.configure
	return p
}

func (p *plugin) run(ctx context.Context, launch *launchConfig) error {
	ctx, p.stop = context.WithCancel(ctx)
	defer p.stop()
	if launch != nil {
		p.announcement.Name = launch.Name
	}
	if err := contract.CheckRegistration(p.announcement); err != nil {
		return err
	}
	if launch != nil {
		return p.serveLaunched(ctx, launch)
	}
	socket, listen := p.config.Socket, p.config.Listen
	if socket == "" && listen == "" {
		socket, listen = os.Getenv(socketVariable), os.Getenv(listenVariable)
	}
	switch {
	case socket != "" && listen != "":
		return errListensAndDials
	case listen != "":
		return p.serveListening(ctx, listen)
	case socket != "":
		return p.serveAddresses(ctx, socket)
	}
	return ErrNoRuntime
}

func (p *plugin) serveLaunched(ctx context.Context, launch *launchConfig) error {
	if launch.Address != "" {
		return p.serveJoined(ctx, launch)
	}
	if launch.Detached {
		peers := p.peers() // later runtimes at the socket may be other users' processes
		connect := func() (io.ReadWriteCloser, error) { return launch.open(&peers) }
		return p.reconnectLoop(ctx, connect, launch.Timeout, maxDetachedRedial)
	}
	conn, err := launch.open(nil)
	if err != nil {
		return err
	}
	link := newLink(ctx, conn, p.handler, p.config.Limits)
	defer link.closeWithProcess(int(launch.PID))()
	return p.serveOnce(ctx, link, launch.Timeout)
}

// serveJoined serves the runtime that has started the plugin on another machine. When the link is lost, the plugin dials again
// with the certificate that it has by then. It ends when the runtime has ended its run, or has been away for maxAway.
func (p *plugin) serveJoined(ctx context.Context, launch *launchConfig) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	address, err := remote.ParseAddress(launch.Address)
	if err != nil {
		return launchError{err}
	}
	n, renew, err := join(ctx, address, launch)
	if err != nil {
		return err
	}
	go renew(ctx)
	p.announcement.ProcessId = newProcessID()
	var served time.Time // when the last link has ended
	for delay := firstRedial; ctx.Err() == nil; delay = min(2*delay, maxRemoteRedial) {
		conn, err := n.dial(ctx, place{address, address.Host})
		if err == nil {
			err = p.serveOnce(ctx, newRemoteLink(ctx, conn, p.handler, p.config.Limits), launch.Timeout)
		}
		var refused upgradeRefused
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			delay, served = firstRedial, time.Now()
		case !served.IsZero() && errors.As(err, &refused) && refused.status == http.StatusForbidden:
			return nil // its run has ended
		case time.Since(served) >= maxAway:
			return err
		}
		pause(ctx, delay/2+rand.N(delay/2))
	}
	return nil
}

func (p *plugin) peers() peerPolicy { return newPeerPolicy(p.config.PeerUsers) }

func (p *plugin) serveDialling(ctx context.Context, socket string) error {
	connect := func() (io.ReadWriteCloser, error) { return dial(ctx, socket, p.peers()) }
	return p.reconnectLoop(ctx, connect, registrationTimeout, maxRedial)
}

// reconnectLoop serves a runtime, and reconnects when it goes away. The first connection and registration must succeed.
func (p *plugin) reconnectLoop(ctx context.Context, connect func() (io.ReadWriteCloser, error), timeout, maxDelay time.Duration) error {
	delay, served := firstRedial, false
	for ctx.Err() == nil {
		conn, err := connect()
		if err == nil {
			link := newLink(ctx, conn, p.handler, p.config.Limits)
			endWatch := link.closeWithProcess(peerProcess(conn))
			err = p.serveOnce(ctx, link, timeout)
			endWatch()
		}
		switch {
		case err == nil:
			delay, served = firstRedial, true
		case ctx.Err() != nil:
			return nil
		case !served:
			return err
		}
		// Jitter keeps the plugins of a restarted runtime from reconnecting all at once.
		pause(ctx, delay/2+rand.N(delay/2))
		delay = min(2*delay, maxDelay)
	}
	return nil
}

// serveOnce registers on a link and serves until the link or the context ends. It then waits for the calls that the plugin
// is serving, for Background and for the log records before it closes the link.
func (p *plugin) serveOnce(ctx context.Context, link *link, timeout time.Duration) error {
	defer link.close()
	defer close(link.closing)
	if err := link.register(ctx, p.announcement, timeout, p.configure); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	p.runtimes.enter(link)
	defer p.runtimes.leave(link)
	backgroundContext, endBackground := context.WithCancel(withLink(context.WithoutCancel(ctx), link))
	background := make(chan struct{})
	go func() {
		defer close(background)
		if p.config.Background != nil {
			p.config.Background(backgroundContext)
		}
	}()
	finishLogs := p.sendLogs(link)
	select {
	case <-ctx.Done():
	case <-link.session.CloseChan():
	}
	link.drain()
	endBackground()
	select {
	case <-background:
	case <-time.After(p.config.Limits.CloseTimeout):
		slog.Warn("Config.Background is still running although its context has ended", "after", p.config.Limits.CloseTimeout)
	}
	finishLogs()
	return nil
}

// sendLogs sends log records over a link. The returned function sends the queued ones and ends it.
func (p *plugin) sendLogs(link *link) func() {
	if p.config.Logs == nil {
		return func() {}
	}
	leaving, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		p.config.Logs.send(link.ctx, leaving)
	}()
	return func() {
		close(leaving)
		<-sent
	}
}

// shutdownService lets the runtime end the plugin.
type shutdownService struct{ plugin *plugin }

// Shutdown returns when the plugin has cleaned up. The link is closed after the answer has been read.
func (s shutdownService) Shutdown(ctx context.Context, _ *pluginsv1.ShutdownRequest) (*pluginsv1.ShutdownResponse, error) {
	s.plugin.stop()
	if link, err := linkOf(ctx); err == nil {
		<-link.closing
	}
	return &pluginsv1.ShutdownResponse{}, nil
}

// ErrNoRuntime means that the process has no runtime to serve: it was neither launched nor given an address, or the launch
// configuration or the address cannot be used.
var ErrNoRuntime = errors.New("no runtime has launched this plugin, and neither " + socketVariable + " nor Config.Socket names one")

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
