// Command peers measures other people's plugin systems in Go, on the work that plugmux is measured on. It prints one
// JSON object per measurement:
//
//	peers [-seconds S] [-works unary-serial,unary-16,...] connect-go|go-pair|go-yamux|go-plugin|ttrpc|floor
//
// The measured side is a process of its own: this program, started again. A server in another language is measured by
//
//	peers [-seconds S] load SYSTEM SOCKET
//
// connect-go over TLS takes a folder of certificates and a port of loopback, and its server is started by itself:
//
//	peers serve-tls FOLDER PORT
//	peers [-seconds S] [-works ...] connect-go-tls FOLDER PORT
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	childArgument = "child"
	loadArgument  = "load"
	serveTLS      = "serve-tls"
	connectTLS    = "connect-go-tls"
)

// system is one peer: what its child process runs, and what it is measured on.
type system struct {
	serve   func() error
	measure func(*bench) error
}

var systems = map[string]system{
	"connect-go": {serveConnectGo, measureConnectGo},
	"go-pair":    {servePair, measurePair},
	"go-yamux":   {serveYamux, measureYamux},
	"go-plugin":  {serveGoPlugin, measureGoPlugin},
	"ttrpc":      {serveTTRPC, measureTTRPC},
	"floor":      {serveFloor, measureFloor},
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childArgument {
		exit(systems[os.Args[2]].serve())
	}
	seconds := flag.Float64("seconds", 3, "how long each measurement takes")
	works := flag.String("works", "", "which works to measure, all by default, separated by commas")
	flag.Usage = func() {
		names := slices.Sorted(maps.Keys(systems))
		fmt.Fprintf(os.Stderr, "usage: peers [-seconds S] [-works LIST] %s\n", strings.Join(names, "|"))
		fmt.Fprintf(os.Stderr, "       peers [-seconds S] %s SYSTEM SOCKET\n", loadArgument)
		fmt.Fprintf(os.Stderr, "       peers [-seconds S] [-works LIST] %s|%s FOLDER PORT\n", serveTLS, connectTLS)
		flag.PrintDefaults()
	}
	flag.Parse()
	b := &bench{
		system:   flag.Arg(0),
		works:    *works,
		duration: time.Duration(*seconds * float64(time.Second)),
		output:   json.NewEncoder(os.Stdout),
	}
	if flag.Arg(0) == loadArgument && flag.NArg() == 3 && *seconds > 0 {
		b.system = flag.Arg(1)
		exit(load(b, flag.Arg(2)))
	}
	if flag.NArg() == 3 && *seconds > 0 {
		switch flag.Arg(0) {
		case serveTLS:
			exit(serveConnectTLS(flag.Arg(1), flag.Arg(2)))
		case connectTLS:
			b.system = "connect-go"
			exit(measureConnectTLS(b, flag.Arg(1), flag.Arg(2)))
		}
	}
	chosen, ok := systems[flag.Arg(0)]
	if !ok || flag.NArg() != 1 || *seconds <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	exit(chosen.measure(b))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
