// Command go is a host for the cross-language matrix: it runs a plugin as a runtime does, calls everything that the
// example plugins serve, ends the plugin, and prints what it found as one JSON object per plugin.
//
//	go launch [-pipes | -socket] [-timeout 5s] COMMAND [ARGUMENT]...
//	go listen [-count N] SOCKET
//
// launch starts the plugin, on Windows always with pipes or, with -socket, a named pipe for those that inherit no handles; listen
// waits for plugins that start by themselves and dial the socket: a path or "@name", on Windows the path of a named pipe. It
// exits with 0 when every check has passed, with 1 when one has not, with 2 for wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"plugmux.dev/go/plugmuxtest"
)

const (
	registrationTimeout = time.Minute
	exitTimeout         = time.Minute
	overallTimeout      = 2 * time.Minute
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
		timeout := flags.Duration("timeout", registrationTimeout, "how long the plugin may take to register")
		pipes := flags.Bool("pipes", false, "link over a pair of pipes in place of a socket")
		socket := flags.Bool("socket", false, "let the plugin connect to a socket of its own (Windows)")
		_ = flags.Parse(os.Args[2:])
		if flags.NArg() == 0 {
			usage()
		}
		start := plugmuxtest.Launch
		switch {
		case *pipes:
			start = plugmuxtest.LaunchWithPipes
		case *socket:
			start = launchWithSocket
		}
		ok, err = launch(ctx, flags.Args(), start, *timeout)
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
	fmt.Fprintln(os.Stderr, "usage: go launch [-pipes | -socket] [-timeout 5s] COMMAND [ARGUMENT]... | go listen [-count N] SOCKET")
	os.Exit(2)
}

// starter starts a plugin, as [plugmuxtest.Launch] does.
type starter func(*exec.Cmd, time.Duration, plugmuxtest.Options) (*plugmuxtest.Link, error)

// launch checks one plugin from its start to its exit.
func launch(ctx context.Context, command []string, start starter, timeout time.Duration) (bool, error) {
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Stdout, process.Stderr = os.Stderr, os.Stderr // what a plugin prints is no part of the protocol
	host := newHost()
	link, err := start(process, timeout, host.options())
	if err != nil {
		return false, err
	}
	defer link.Session.Close()
	report := host.examine(ctx, link, timeout)
	report.check("exit", func() error {
		limit := time.AfterFunc(exitTimeout, func() { _ = process.Process.Kill() })
		defer limit.Stop()
		return process.Wait()
	})
	return report.ok(), print(report)
}

// listen checks plugins that dial, one after another, in the order in which they come.
func listen(ctx context.Context, socket string, count int) (bool, error) {
	listener, err := listenLocal(socket)
	if err != nil {
		return false, err
	}
	reports := make(chan *report)
	host := newHost()
	server := &http.Server{Handler: plugmuxtest.Hijack(host.options(), func(link *plugmuxtest.Link) {
		reports <- host.examine(ctx, link, registrationTimeout)
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
