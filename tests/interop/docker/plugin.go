package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"plugmux.dev/tests/interop/docker/wire"
)

const launchVariable = "DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG"

type pluginOptions struct {
	name, version, pattern, socket, mode, check, ahead string
	access                                             bool
}

// runPlugin serves until the link ends. It does not connect again.
func runPlugin(args []string) error {
	var o pluginOptions
	flags := flag.NewFlagSet("plugin", flag.ExitOnError)
	flags.StringVar(&o.name, "name", filepath.Base(os.Args[0]), "the name of one that starts by itself")
	flags.StringVar(&o.version, "version", "v1", "its version")
	flags.StringVar(&o.pattern, "pattern", "vault/**", "its pattern")
	flags.StringVar(&o.socket, "socket", "", "the engine's socket, where it is not launched")
	flags.StringVar(&o.mode, "mode", "ok", "ok, internal, missing, crash, slow, large, exit, silent")
	flags.BoolVar(&o.access, "access", false, "whether it is an access-control module")
	flags.StringVar(&o.check, "check", "allow", "what it answers to CheckAccess")
	flags.StringVar(&o.ahead, "ahead", "allow", "what it answers to Authorize")
	flags.Parse(args)
	if o.mode == "exit" {
		return errors.New("this one never comes up")
	}
	conn, timeout, err := o.connect()
	if err != nil {
		return err
	}
	registered := make(chan struct{})
	l, err := newLink(conn, true, o.handler(registered, timeout))
	if err != nil {
		return err
	}
	if o.mode != "silent" {
		if err := o.register(l, timeout); err != nil {
			return fmt.Errorf("not registered: %w", err)
		}
		close(registered)
	}
	<-l.session.CloseChan()
	return nil
}

func (o *pluginOptions) connect() (io.ReadWriteCloser, time.Duration, error) {
	text := os.Getenv(launchVariable)
	if text == "" {
		conn, err := hijack(o.socket)
		return conn, 5 * time.Second, err
	}
	var config struct {
		Name    string        `json:"name"`
		Timeout time.Duration `json:"timeout"`
		Fd      int           `json:"fd"`
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return nil, 0, err
	}
	if config.Fd <= 2 || config.Timeout <= 0 {
		return nil, 0, fmt.Errorf("the launch configuration cannot be used: %s", text)
	}
	o.name = config.Name
	file := os.NewFile(uintptr(config.Fd), "link")
	defer file.Close()
	conn, err := net.FileConn(file)
	return conn, config.Timeout, err
}

// hijack asks an engine to make the connection a link.
func hijack(socket string) (io.ReadWriteCloser, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	io.WriteString(conn, "GET /hijack HTTP/1.1\r\nHost: secrets-engine.localhost\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("the engine answered %s", response.Status)
	}
	return buffered{conn, reader}, nil
}

// buffered gives first what has been read with the head.
type buffered struct {
	net.Conn
	reader io.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

func (o *pluginOptions) register(l *link, timeout time.Duration) error {
	request := &wire.RegisterPluginRequest{Name: o.name, Version: o.version}
	if o.access {
		request.Metadata = &wire.RegisterPluginRequest_AccessControlModule{AccessControlModule: &wire.Empty{}}
	} else {
		request.Metadata = &wire.RegisterPluginRequest_SecretsProvider{SecretsProvider: &wire.SecretsProvider{Pattern: o.pattern}}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	response, err := call[wire.RegisterPluginRequest, wire.RegisterPluginResponse](ctx, l.client, registerPlugin, request)
	if err != nil {
		return err
	}
	if response.EngineName == "" || response.EngineVersion == "" {
		return errors.New("the engine has not told its name and version")
	}
	return nil
}

func (o *pluginOptions) handler(registered <-chan struct{}, timeout time.Duration) http.Handler {
	mux := newMux()
	handle(mux, shutdown, func(context.Context, *wire.Empty) (*wire.Empty, error) { return &wire.Empty{}, nil })
	handle(mux, getSecrets, func(ctx context.Context, r *wire.GetSecretsRequest) (*wire.GetSecretsResponse, error) {
		select {
		case <-registered:
			return o.secrets(ctx, r.Pattern)
		case <-time.After(timeout):
			return nil, connect.NewError(connect.CodeUnavailable, errors.New("not registered"))
		}
	})
	handle(mux, checkAccess, func(_ context.Context, r *wire.CheckAccessRequest) (*wire.DecisionResponse, error) {
		fmt.Fprintf(os.Stderr, "CheckAccess %s by pid %d\n", r.Pattern, r.GetRequester().GetPid())
		return decide(o.check), nil
	})
	handle(mux, authorizeAhead, func(_ context.Context, r *wire.AuthorizeRequest) (*wire.DecisionResponse, error) {
		fmt.Fprintf(os.Stderr, "Authorize %v by pid %d\n", r.Patterns, r.GetRequester().GetPid())
		return decide(o.ahead), nil
	})
	return mux
}

func decide(answer string) *wire.DecisionResponse {
	if answer == "allow" {
		return &wire.DecisionResponse{Decision: 1}
	}
	return &wire.DecisionResponse{}
}

// secrets answers for two ids, with all times unset as Go has them.
func (o *pluginOptions) secrets(ctx context.Context, pattern string) (*wire.GetSecretsResponse, error) {
	switch o.mode {
	case "internal":
		return nil, connect.NewError(connect.CodeInternal, errors.New("sealed"))
	case "missing":
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such secret"))
	case "crash":
		os.Exit(7)
	case "slow":
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "the slow call has been cancelled")
		return nil, ctx.Err()
	}
	response := &wire.GetSecretsResponse{}
	for _, id := range []string{"vault/a", "vault/b"} {
		if !includes(pattern, id) {
			continue
		}
		value := []byte("value of " + id)
		if o.mode == "large" {
			value = bytes.Repeat([]byte("x"), 1<<20)
		}
		response.Envelopes = append(response.Envelopes, &wire.Envelope{
			Id: id, Value: value, Version: "1", Metadata: map[string]string{"asked": pattern},
			CreatedAt: timestamppb.New(time.Time{}), ResolvedAt: timestamppb.New(time.Time{}), ExpiresAt: timestamppb.New(time.Time{}),
		})
	}
	if len(response.Envelopes) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such secret"))
	}
	return response, nil
}
