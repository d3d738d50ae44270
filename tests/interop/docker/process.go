package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A process is a plugin that the engine has launched.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan error
}

// launch starts a plugin with one end of a socket pair as descriptor 3, and
// returns when it has registered or cannot any more.
func (e *engine) launch(file string) (*process, error) {
	ends, err := socketPair()
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(ends[1]), "the plugin's end")
	defer theirs.Close()
	ours := os.NewFile(uintptr(ends[0]), "the engine's end")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	name := baseName(file)
	config, _ := json.Marshal(map[string]any{"name": name, "timeout": e.timeout, "fd": 3})
	cmd := exec.Command(file)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(os.Environ(), launchVariable+"="+string(config))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	started := &process{name, cmd, make(chan error, 1)}
	go func() { started.done <- cmd.Wait() }()
	if _, err := e.attach(conn, name); err != nil {
		fmt.Fprintf(os.Stderr, "plugin %s: %v\n", name, err)
	}
	return started, nil
}

// end waits for the process, and terminates and kills one that stays.
func (p *process) end() string {
	for _, insist := range []func() error{nil, func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }, p.cmd.Process.Kill} {
		if insist != nil {
			insist()
		}
		select {
		case <-p.done:
			return p.cmd.ProcessState.String()
		case <-time.After(10 * time.Second):
		}
	}
	return "does not end"
}

// socketPair makes two connected sockets that a program started meanwhile does not inherit. Linux alone can ask for that in
// one call.
func socketPair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	return pair, err
}
