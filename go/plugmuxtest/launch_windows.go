package plugmuxtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
	"plugmux.dev/go/internal/pipe"
)

// Launch is [LaunchWithPipes]: Windows has no socket pairs.
func Launch(command *exec.Cmd, timeout time.Duration, options Options) (*Link, error) {
	return LaunchWithPipes(command, timeout, options)
}

// LaunchWithPipes starts a plugin process whose link is a pair of one-way pipes, of which the process inherits the handles. The
// plugin registers under the file name of its program, and has the timeout for it. LaunchWithPipes fails if the process cannot be
// started. The caller calls Wait on the command.
func LaunchWithPipes(command *exec.Cmd, timeout time.Duration, options Options) (*Link, error) {
	var theirRead, ourWrite, ourRead, theirWrite windows.Handle
	if err := windows.CreatePipe(&theirRead, &ourWrite, nil, 0); err != nil {
		return nil, err
	}
	defer windows.CloseHandle(theirRead)
	if err := windows.CreatePipe(&ourRead, &theirWrite, nil, 0); err != nil {
		return nil, errors.Join(err, windows.CloseHandle(ourWrite))
	}
	defer windows.CloseHandle(theirWrite)
	ours := pipes{pipe.NewAnonymous(ourRead), pipe.NewAnonymous(ourWrite)}
	err := configure(command, map[string]any{"r": theirRead, "w": theirWrite}, timeout)
	if err == nil {
		err = startWith(command, syscall.Handle(theirRead), syscall.Handle(theirWrite))
	}
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return NewLink(ours, options), nil
}

// startWith starts a command that inherits handles, which no process started at the same time inherits.
func startWith(command *exec.Cmd, handles ...syscall.Handle) error {
	for _, handle := range handles {
		if err := syscall.SetHandleInformation(handle, syscall.HANDLE_FLAG_INHERIT, syscall.HANDLE_FLAG_INHERIT); err != nil {
			return err
		}
	}
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
	command.SysProcAttr.AdditionalInheritedHandles = append(command.SysProcAttr.AdditionalInheritedHandles, handles...)
	return command.Start()
}

// LaunchWithSocket starts a plugin process whose link is a connection to a named pipe, as a runtime starts one that takes no
// inherited handles, such as Node.js. It is like [LaunchWithPipes] otherwise, and waits for the connection.
func LaunchWithSocket(command *exec.Cmd, timeout time.Duration, options Options) (*Link, error) {
	name := fmt.Sprintf(`\\.\pipe\plugmuxtest-%d-%x`, os.Getpid(), rand.Uint64())
	listener, err := ListenPipe(name)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := configure(command, map[string]any{"socket": name}, timeout); err != nil {
		return nil, err
	}
	if err := startWith(command); err != nil {
		return nil, err
	}
	limit := time.AfterFunc(timeout, func() { _ = listener.Close() })
	defer limit.Stop()
	conn, err := listener.Accept()
	if err != nil {
		return nil, errors.Join(err, command.Process.Kill(), command.Wait())
	}
	return NewLink(conn, options), nil
}

// ListenPipe listens at the path of a named pipe, to which this user and the system alone can connect.
func ListenPipe(path string) (net.Listener, error) {
	return pipe.Listen(path)
}
