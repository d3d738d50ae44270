package plugmux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

const usage = `%[1]s %[2]s is a plugmux plugin: a runtime starts it, or it connects to one that runs.
It serves: %[3]s.

  plugmux plugins --plugin %[4]s     launch it and show it
  PLUGMUX_SOCKET=unix:/path %[4]s    connect it to the runtime that listens there
  %[4]s --listen tls://0.0.0.0:7444  let runtimes on other machines connect
`

// Main runs a plugin as a whole program: see [Run]. SIGTERM and Ctrl-C end the plugin in order; a second one ends the
// process at once. Main returns when the plugin has ended in order. On an error it prints the error on standard error and
// exits, with status 2 for [ErrNoRuntime], as when a person starts the plugin by hand, and with status 1 otherwise.
func Main(config Config, servables ...Servable) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	launch, err := takeLaunchConfig()
	if launch != nil && launch.Terminal {
		// Ctrl-C also reaches the runtime, which ends its plugins when it no longer needs them.
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
		signals = signals[1:]
	}
	ctx, release := signal.NotifyContext(context.Background(), signals...)
	defer release()
	context.AfterFunc(ctx, release)
	// The plugin survives the reader of its output: by default Go ends a program that writes to a closed standard output.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	if config.Listen == "" && len(os.Args) == 3 && os.Args[1] == "--listen" {
		config.Socket, config.Listen = "", os.Args[2]
	}
	p := newPlugin(config, servables)
	if err == nil {
		err = p.run(ctx, launch)
	}
	switch {
	case err == nil:
	case err == ErrNoRuntime: // not wrapped: neither a launch configuration nor an address was given
		fmt.Fprintf(os.Stderr, usage, p.config.Name, p.config.Version, p.serves(), os.Args[0])
		os.Exit(exitUsage)
	case errors.Is(err, ErrNoRuntime):
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.config.Name, err)
		os.Exit(exitUsage)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.config.Name, err)
		os.Exit(exitFailed)
	}
}

func (p *plugin) serves() string {
	var served []string
	if provider := p.announcement.GetSecretsProvider(); provider != nil {
		served = append(served, "secrets "+provider.GetPattern())
	}
	if p.announcement.GetAccessControlModule() != nil {
		served = append(served, "access control")
	}
	served = append(served, p.announcement.GetServices()...)
	for _, service := range p.announcement.GetInstances().GetServices() {
		served = append(served, service+" (instances)")
	}
	if len(served) == 0 {
		return "no services"
	}
	return strings.Join(served, ", ")
}
