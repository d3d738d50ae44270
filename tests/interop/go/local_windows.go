package main

import (
	"net"
	"os/exec"
	"time"

	"plugmux.dev/go/plugmuxtest"
)

func listenLocal(path string) (net.Listener, error) { return plugmuxtest.ListenPipe(path) }

func launchWithSocket(command *exec.Cmd, timeout time.Duration, options plugmuxtest.Options) (*plugmuxtest.Link, error) {
	return plugmuxtest.LaunchWithSocket(command, timeout, options)
}
