package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
)

const inheritedDescriptor = 3

// child is the measured side: this program once more, at the other end of a socket pair.
type child struct {
	net.Conn
	process *exec.Cmd
}

func startChild(system string) (*child, error) {
	pair, err := socketPair()
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	process, err := startProcess(system, theirs)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &child{conn, process}, nil
}

func startProcess(system string, inherited *os.File) (*exec.Cmd, error) {
	process := exec.Command(os.Args[0], childArgument, system)
	process.Stderr = os.Stderr
	process.ExtraFiles = []*os.File{inherited}
	return process, process.Start()
}

// startListening starts a child that serves a unix socket, which listens already. What it gives back kills the child.
func startListening(system, path string) (func() error, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	process, err := startProcess(system, file)
	if err != nil {
		return nil, err
	}
	return func() error {
		err := process.Process.Kill()
		_ = process.Wait() // it was killed
		return err
	}, nil
}

// end closes the connection, by which the child ends.
func (c *child) end() error { return errors.Join(c.Close(), c.process.Wait()) }

// inheritedConn is the child's end of the socket pair.
func inheritedConn() (net.Conn, error) {
	return net.FileConn(os.NewFile(inheritedDescriptor, "inherited"))
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
