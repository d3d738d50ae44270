//go:build unix

package main

import (
	"errors"
	"net"
	"os/exec"
	"time"

	"plugmux.dev/go/plugmuxtest"
)

func listenLocal(socket string) (net.Listener, error) { return net.Listen("unix", socket) }

func launchWithSocket(*exec.Cmd, time.Duration, plugmuxtest.Options) (*plugmuxtest.Link, error) {
	return nil, errors.New("-socket is for Windows")
}
