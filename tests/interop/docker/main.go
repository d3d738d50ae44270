// Docker-peer behaves on the wire as Docker's programs do: as a plugin, as a
// client and as a host (engine). It uses hashicorp/yamux and connect-go alone,
// and nothing of plugmux, so that the two can only agree by the wire.
package main

import (
	"fmt"
	"os"
)

const usage = "usage: docker-peer plugin|client|engine [flags]"

func main() {
	roles := map[string]func([]string) error{"plugin": runPlugin, "client": runClient, "engine": runEngine}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := roles[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "docker-peer:", err)
		os.Exit(1)
	}
}
