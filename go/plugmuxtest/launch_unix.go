//go:build unix

package plugmuxtest

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Launch starts a plugin process whose link is a socket pair. The plugin registers under the file name of its program, and has
// the timeout for it. Launch fails if the process cannot be started. The caller calls Wait on the command.
func Launch(command *exec.Cmd, timeout time.Duration, options Options) (*Link, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	return start(command, map[string]any{"fd": 3}, timeout, options, conn, theirs)
}

// socketpair makes two connected sockets that no child process started at the same time inherits.
func socketpair() (*os.File, *os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	syscall.CloseOnExec(pair[0])
	syscall.CloseOnExec(pair[1])
	return os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs"), nil
}

// LaunchWithPipes is [Launch] with a pair of one-way pipes in place of the socket pair.
func LaunchWithPipes(command *exec.Cmd, timeout time.Duration, options Options) (*Link, error) {
	theirRead, ourWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ourRead, theirWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirRead.Close(), ourWrite.Close())
	}
	return start(command, map[string]any{"r": 3, "w": 4}, timeout, options, pipes{ourRead, ourWrite}, theirRead, theirWrite)
}

func start(command *exec.Cmd, ends map[string]any, timeout time.Duration, options Options, conn io.ReadWriteCloser, theirs ...*os.File) (*Link, error) {
	err := configure(command, ends, timeout)
	if err == nil {
		command.ExtraFiles = theirs
		err = command.Start()
	}
	for _, file := range theirs {
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return NewLink(conn, options), nil
}
