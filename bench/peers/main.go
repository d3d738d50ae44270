// Command peers measures other people's plugin systems in Go, on the work that plugmux is measured on. It prints one
// JSON object per measurement:
//
//	peers [-seconds S] [-works unary-serial,unary-16,...] go-pair|go-yamux|go-plugin|ttrpc|floor
//
// The measured side is a process of its own: this program, started again.
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

const childArgument = "child"

// system is one peer: what its child process runs, and what it is measured on.
type system struct {
	serve   func() error
	measure func(*bench) error
}

var systems = map[string]system{
	"go-pair":   {servePair, measurePair},
	"go-yamux":  {serveYamux, measureYamux},
	"go-plugin": {serveGoPlugin, measureGoPlugin},
	"ttrpc":     {serveTTRPC, measureTTRPC},
	"floor":     {serveFloor, measureFloor},
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
		flag.PrintDefaults()
	}
	flag.Parse()
	chosen, ok := systems[flag.Arg(0)]
	if !ok || flag.NArg() != 1 || *seconds <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	exit(chosen.measure(&bench{
		system:   flag.Arg(0),
		works:    *works,
		duration: time.Duration(*seconds * float64(time.Second)),
		output:   json.NewEncoder(os.Stdout),
	}))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
