// Command faulty is a plugin that misbehaves as its arguments and the keys of Get tell it; tests/faults holds a runtime
// against it. Its twins are ../faulty.py and ../ts/src: every word means the same in all three.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

const (
	inheritedLink = 3
	mebibyte      = 1 << 20
	registration  = "POST /plugins.v1.RegisterService/RegisterPlugin HTTP/1.1\r\n"
)

type faulty struct {
	kvv1connect.UnimplementedKeyValueServiceHandler
}

func (faulty) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	word, argument, _ := strings.Cut(request.Key, " ")
	fault, known := faults[word]
	if !known {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no fault %q", word))
	}
	value, err := fault(argument)
	return &kvv1.GetResponse{Value: []byte(value)}, err
}

var faults = map[string]func(argument string) (string, error){
	"pid":  func(string) (string, error) { return strconv.Itoa(os.Getpid()), nil },
	"hang": hang,
	"fail": func(string) (string, error) { panic("no such luck") },
	"exit": func(string) (string, error) {
		fmt.Fprintln(os.Stderr, "on my way out")
		os.Exit(7)
		return "", nil
	},
	"garbage": func(string) (string, error) {
		must(syscall.Write(link(), []byte("garbage on the link, and more of it")))
		return hang("")
	},
	"halfframe": func(string) (string, error) {
		must(syscall.Write(link(), append(frame(0x7fffffff, 100), "half of it"...)))
		return "", syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	"unlink": func(hearing string) (string, error) {
		signal.Reset(syscall.SIGTERM)
		if hearing == "deaf" {
			signal.Ignore(syscall.SIGTERM)
		}
		_ = syscall.Close(link())
		return hang("")
	},
	"child": func(kind string) (string, error) {
		child := exec.Command("sleep", "3600")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: kind == "detached"}
		err := child.Start()
		return strconv.Itoa(child.Process.Pid), err
	},
	"flood": func(mebibytes string) (string, error) {
		count, err := strconv.Atoi(mebibytes)
		line := append(bytes.Repeat([]byte("x"), 65535), '\n')
		block := bytes.Repeat(line, mebibyte/len(line))
		for range count {
			must(os.Stderr.Write(block))
		}
		return mebibytes, err
	},
}

func hang(string) (string, error) { select {} }

// link is the descriptor of the link: the SDK has moved it from where it was inherited, and it is the only socket.
func link() int {
	for fd := inheritedLink; ; fd++ {
		if _, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE); err == nil {
			return fd
		}
	}
}

// frame is the head of a data frame that opens a stream.
func frame(stream, length uint32) []byte {
	head := []byte{0, 0, 0, 1}
	head = binary.BigEndian.AppendUint32(head, stream)
	return binary.BigEndian.AppendUint32(head, length)
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}

// begin does what goes wrong before a plugin has registered: "exit-registering", or "crash-loop FILE" to end at once as
// often as the file says.
func begin(arguments []string) {
	if len(arguments) == 1 && arguments[0] == "exit-registering" {
		must(syscall.Write(inheritedLink, append(frame(1, 1000), registration...)))
		fmt.Fprintln(os.Stderr, "half registered")
		os.Exit(3)
	}
	if len(arguments) == 2 && arguments[0] == "crash-loop" {
		text, _ := os.ReadFile(arguments[1])
		if left, _ := strconv.Atoi(string(text)); left > 0 {
			_ = os.WriteFile(arguments[1], []byte(strconv.Itoa(left-1)), 0o600)
			os.Exit(3)
		}
	}
}

func main() {
	begin(os.Args[1:])
	config := plugmux.Config{Version: "v1.0.0"}
	if slices.Contains(os.Args[1:], "slog") { // its records go to the runtime, and not to stderr
		config.Logs = plugmux.NewLogHandler(nil)
		slog.SetDefault(slog.New(config.Logs))
	}
	plugmux.Main(config, plugmux.Service(kvv1connect.NewKeyValueServiceHandler(faulty{})))
}
