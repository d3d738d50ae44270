// Command go is a host for the cross-language matrix: it runs a plugin as a runtime does, calls everything that the
// example plugins serve, ends the plugin, and prints what it found as one JSON object per plugin.
//
//	go launch [-pipes] COMMAND [ARGUMENT]...
//	go listen [-count N] SOCKET
//
// launch starts the plugin; listen waits for plugins that start by themselves and dial the socket, a path or "@name". It
// exits with 0 when every check has passed, with 1 when one has not, with 2 for wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"plugmux.dev/go/plugmuxtest"
)

const (
	registrationTimeout = 5 * time.Second
	exitTimeout         = 5 * time.Second
	overallTimeout      = time.Minute
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	ctx, cancel := context.WithTimeout(context.Background(), overallTimeout)
	defer cancel()
	var ok bool
	var err error
	switch flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError); os.Args[1] {
	case "launch":
		pipes := flags.Bool("pipes", false, "link over a pair of pipes in place of a socket")
		_ = flags.Parse(os.Args[2:])
		if flags.NArg() == 0 {
			usage()
		}
		ok, err = launch(ctx, flags.Args(), *pipes)
	case "listen":
		count := flags.Int("count", 1, "how many plugins to serve before it ends")
		_ = flags.Parse(os.Args[2:])
		if flags.NArg() != 1 {
			usage()
		}
		ok, err = listen(ctx, flags.Arg(0), *count)
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: go launch [-pipes] COMMAND [ARGUMENT]... | go listen [-count N] SOCKET")
	os.Exit(2)
}

// launch checks one plugin from its start to its exit.
func launch(ctx context.Context, command []string, pipes bool) (bool, error) {
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Stdout, process.Stderr = os.Stderr, os.Stderr // what a plugin prints is no part of the protocol
	start := plugmuxtest.Launch
	if pipes {
		start = plugmuxtest.LaunchWithPipes
	}
	host := newHost()
	link, err := start(process, registrationTimeout, host.options())
	if err != nil {
		return false, err
	}
	defer link.Session.Close()
	report := host.examine(ctx, link)
	report.check("exit", func() error {
		limit := time.AfterFunc(exitTimeout, func() { _ = process.Process.Kill() })
		defer limit.Stop()
		return process.Wait()
	})
	return report.ok(), print(report)
}

// listen checks plugins that dial, one after another, in the order in which they come.
func listen(ctx context.Context, socket string, count int) (bool, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return false, err
	}
	reports := make(chan *report)
	host := newHost()
	server := &http.Server{Handler: plugmuxtest.Hijack(host.options(), func(link *plugmuxtest.Link) {
		reports <- host.examine(ctx, link)
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	all := true
	for range count {
		select {
		case report := <-reports:
			all = all && report.ok()
			if err := print(report); err != nil {
				return false, err
			}
		case <-ctx.Done():
			return false, errors.New("no plugin has come in time")
		}
	}
	return all, nil
}

func print(report *report) error { return json.NewEncoder(os.Stdout).Encode(report) }
