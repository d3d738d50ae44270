// Package plugmux makes a Go program a plugin.
//
// A plugin and its runtime share one connection, multiplexed by yamux, on which both serve and both call: Connect
// services, plain HTTP and raw byte streams. A runtime launches the plugin, or the plugin starts by itself and dials
// the runtime's socket; [Main] does whichever its environment asks for:
//
//	func main() {
//		plugmux.Main(plugmux.Config{Version: "v1.0.0"},
//			plugmux.Secrets("go/**", secrets),
//			plugmux.Service(kvv1connect.NewKeyValueServiceHandler(&store{})),
//		)
//	}
//
// Standard output and standard error are the plugin's own: nothing of the protocol passes through them.
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
)

// Config is what a plugin says of itself, and where it finds its runtime. The zero value is usable.
type Config struct {
	// Name to register under when the plugin starts by itself; the file name of the program by default. A launched
	// plugin is named by its runtime.
	Name string
	// Version of the plugin, such as "v1.2.3", "v1.2" or "v1"; "v0.0.0" by default.
	Version string
	// Socket of the runtime that a plugin dials when it was not launched, as "unix:/path" or "unix:@abstract"; the
	// value of PLUGMUX_SOCKET by default.
	Socket string
	// PeerUsers are names or ids of users whose runtime the plugin may dial, beside the plugin's own user and root.
	// Those that PLUGMUX_PEER_USERS names, separated by commas, are allowed as well.
	PeerUsers []string

	// Background runs in a goroutine of its own after every successful registration. Its context reaches the runtime
	// (see [Host]) and ends when the link does, or when the plugin is asked to end and the calls under way have ended,
	// streams not counted. The plugin then waits up to [Limits.CloseTime] for it, with its link still open: this is where
	// it may clean up.
	Background func(context.Context)

	// Limits bound what the plugin takes from its runtime, and how long its end may take.
	Limits Limits

	// Health tells whether the plugin is ready; it always is by default.
	Health *Health
	// Logs hands log records to the runtime; see [NewLogHandler].
	Logs *LogHandler

	// ProtocolVersions are the versions of the application's own protocol that the plugin speaks; 1 by default.
	ProtocolVersions []uint32
	// Configuration is what the plugin says about the configuration it takes; it comes with [Runtime].
	Configuration *pluginsv1.ConfigurationSchema
	// Priority ranks the plugin among several that serve the same: the higher is asked first.
	Priority int32
	// Replica lets the plugin be one of several with its name.
	Replica bool
	// Capabilities are free names, for programs that choose among plugins.
	Capabilities []string
	// Labels are free metadata that the runtime lists.
	Labels map[string]string
}

// Run serves a runtime until the context ends, the runtime asks the plugin to end, or a launched plugin's link is
// gone; each of these is nil. Calls in flight are given 2 s to finish. A plugin that started by itself dials again, with
// a growing delay, when its runtime goes away.
//
// It fails with [ErrNoRuntime] where the process has none, and with another error when the first connection or
// registration does.
func Run(ctx context.Context, config Config, servables ...Servable) error {
	launch, err := takeLaunchConfig()
	if err != nil {
		return err
	}
	return newPlugin(config, servables).run(ctx, launch)
}

// plugin is what stays the same from link to link.
type plugin struct {
	config       Config
	announcement *pluginsv1.RegisterPluginRequest
	handler      http.Handler
	configure    func(string) error
	stop         context.CancelFunc
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
	site := newSite(p.announcement, servables)
	site.serve(pluginsv1connect.NewPluginServiceHandler(shutdownService{p}))
	site.serve(plugmuxv1connect.NewDiagnosticsServiceHandler(diagnosticsService{}))
	site.serve(plugmuxv1connect.NewReferenceServiceHandler(referenceService{}))
	site.mux.HandleFunc(referencePrefix+"{reference}/", serveLent)
	site.serveHealth(config.Health)
	site.serveReflection()
	p.handler = site
	p.configure = site.configure
	return p
}

func (p *plugin) run(ctx context.Context, launch *launchConfig) error {
	ctx, p.stop = context.WithCancel(ctx)
	defer p.stop()
	if launch != nil {
		p.announcement.Name = launch.Name
	}
	if err := checkRegistration(p.announcement); err != nil {
		return err
	}
	if launch != nil {
		return p.serveLaunched(ctx, launch)
	}
	socket := p.config.Socket
	if socket == "" {
		socket = os.Getenv(socketVariable)
	}
	if socket == "" {
		return ErrNoRuntime
	}
	return p.serveDialling(ctx, socket)
}

func (p *plugin) serveLaunched(ctx context.Context, launch *launchConfig) error {
	if launch.Detached {
		peers := p.peers() // other processes may take the place of the runtime that has launched the plugin
		reach := func() (io.ReadWriteCloser, error) { return launch.open(&peers) }
		return p.comeAgain(ctx, reach, launch.Timeout, maxDetachedRedial)
	}
	conn, err := launch.open(nil)
	if err != nil {
		return err
	}
	link := newLink(ctx, conn, p.handler, p.config.Limits)
	defer link.endWith(int(launch.PID))()
	return p.stay(ctx, link, launch.Timeout)
}

func (p *plugin) peers() peerPolicy { return newPeerPolicy(p.config.PeerUsers) }

func (p *plugin) serveDialling(ctx context.Context, socket string) error {
	reach := func() (io.ReadWriteCloser, error) { return dial(ctx, socket, p.peers()) }
	return p.comeAgain(ctx, reach, registrationTimeout, maxRedial)
}

// comeAgain serves one runtime after the other, as they come and go.
func (p *plugin) comeAgain(ctx context.Context, reach func() (io.ReadWriteCloser, error), timeout, longestDelay time.Duration) error {
	delay, served := firstRedial, false
	for ctx.Err() == nil {
		conn, err := reach()
		if err == nil {
			err = p.stay(ctx, newLink(ctx, conn, p.handler, p.config.Limits), timeout)
		}
		switch {
		case err == nil:
			delay, served = firstRedial, true
		case ctx.Err() != nil:
			return nil
		case !served:
			return err
		}
		// Jitter keeps the plugins of a runtime that comes back from dialling in step.
		pause(ctx, delay/2+rand.N(delay/2))
		delay = min(2*delay, longestDelay)
	}
	return nil
}

// stay registers on a link and serves until the link or the context ends. Signals end the stay in order: what the
// runtime has asked is answered first.
func (p *plugin) stay(ctx context.Context, link *link, timeout time.Duration) error {
	defer link.close()
	defer close(link.left)
	if err := link.register(ctx, p.announcement, timeout, p.configure); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	stay, leave := context.WithCancel(withLink(context.WithoutCancel(ctx), link))
	background := make(chan struct{})
	go func() {
		defer close(background)
		if p.config.Background != nil {
			p.config.Background(stay)
		}
	}()
	finishLogs := p.sendLogs(link)
	select {
	case <-ctx.Done():
	case <-link.session.CloseChan():
	}
	link.drain()
	leave()
	select {
	case <-background:
	case <-time.After(p.config.Limits.CloseTime):
		slog.Warn("Config.Background has not ended with its context")
	}
	finishLogs()
	return nil
}

// sendLogs hands log records to the runtime until the function that it gives is called, which sends the last of them.
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

// shutdownService is what every plugin serves beside its own services.
type shutdownService struct{ plugin *plugin }

// Shutdown answers when the plugin has cleaned up; the link stays until the answer has been read.
func (s shutdownService) Shutdown(ctx context.Context, _ *pluginsv1.ShutdownRequest) (*pluginsv1.ShutdownResponse, error) {
	s.plugin.stop()
	if link, err := linkOf(ctx); err == nil {
		<-link.left
	}
	return &pluginsv1.ShutdownResponse{}, nil
}

// ErrNoRuntime tells that the process has no runtime to serve: it was not launched by one and knows no socket, or the
// launch configuration or the address that it was given cannot be used.
var ErrNoRuntime = errors.New("no runtime has launched this plugin, and " + socketVariable + " names none")

func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
