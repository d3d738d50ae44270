package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"plugmux.dev/tests/interop/docker/wire"
)

// An engine launches plugins, takes in those that start by themselves, and
// answers clients.
type engine struct {
	timeout time.Duration
	mu      sync.Mutex
	plugins map[string]*plugin
}

// A plugin is one that has registered.
type plugin struct {
	registration *wire.RegisterPluginRequest
	link         *link
	external     bool
}

// runEngine works until its stdin ends, then ends its plugins in order.
func runEngine(args []string) error {
	flags := flag.NewFlagSet("engine", flag.ExitOnError)
	socket := flags.String("socket", "", "where to listen")
	timeout := flags.Duration("timeout", time.Minute, "how long a registration may take")
	flags.Parse(args)
	e := &engine{timeout: *timeout, plugins: map[string]*plugin{}}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	go (&http.Server{Handler: e.socketHandler()}).Serve(listener)
	var processes []*process
	for _, file := range flags.Args() {
		started, err := e.launch(file)
		if err != nil {
			return err
		}
		processes = append(processes, started)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	e.shutdown()
	for _, process := range processes {
		fmt.Println(process.name, process.end())
	}
	return nil
}

// attach makes a connection a link, and returns when the plugin has registered
// or cannot any more. The name is that of a launched plugin, else empty.
func (e *engine) attach(conn io.ReadWriteCloser, name string) (*link, error) {
	registered := make(chan error, 1)
	var once sync.Once
	var l *link
	ready := make(chan struct{})
	mux := newMux()
	handle(mux, registerPlugin, func(_ context.Context, r *wire.RegisterPluginRequest) (*wire.RegisterPluginResponse, error) {
		<-ready
		err := connect.NewError(connect.CodeInternal, errors.New("cannot rerun registration"))
		once.Do(func() {
			err = e.admit(r, l, name)
			registered <- asError(err)
		})
		if err != nil {
			return nil, err
		}
		return &wire.RegisterPluginResponse{EngineName: "docker-peer", EngineVersion: "v1", RequestTimeout: durationpb.New(0)}, nil
	})
	l, err := newLink(conn, false, mux)
	close(ready)
	if err != nil {
		return nil, err
	}
	select {
	case err = <-registered:
	case <-l.session.CloseChan():
		err = errors.New("its link has ended before it registered")
	case <-time.After(e.timeout):
		err = errors.New("it has not registered in time")
	}
	if err != nil {
		time.AfterFunc(time.Second, func() { l.session.Close() }) // The answer goes first.
		return nil, err
	}
	return l, nil
}

// asError keeps a nil pointer from being an error that is not nil.
func asError(err *connect.Error) error {
	if err == nil {
		return nil
	}
	return err
}

func (e *engine) admit(r *wire.RegisterPluginRequest, l *link, name string) *connect.Error {
	pattern := r.GetSecretsProvider().GetPattern()
	switch {
	case name != "" && r.Name != name:
		return connect.NewError(connect.CodeInternal, errors.New("plugin name cannot be changed when launched by engine"))
	case r.Name == "":
		return connect.NewError(connect.CodeInternal, errors.New("a plugin needs a name"))
	case !versionForm.MatchString(r.Version):
		return connect.NewError(connect.CodeInternal, fmt.Errorf("the version %q is not valid", r.Version))
	case r.Metadata == nil:
		return connect.NewError(connect.CodeInternal, errors.New("the kind of the plugin is not known"))
	case r.GetSecretsProvider() != nil && !patternForm.MatchString(pattern):
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the pattern %q is not valid", pattern))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plugins[r.Name] != nil {
		return connect.NewError(connect.CodeInternal, fmt.Errorf("there is a plugin %q already", r.Name))
	}
	e.plugins[r.Name] = &plugin{r, l, name == ""}
	go func() {
		<-l.session.CloseChan()
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.plugins, r.Name)
	}()
	return nil
}

// sorted gives the plugins in the order of their names.
func (e *engine) sorted() []*plugin {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := make([]*plugin, 0, len(e.plugins))
	for _, each := range e.plugins {
		found = append(found, each)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].registration.Name < found[j].registration.Name })
	return found
}

func (e *engine) socketHandler() http.Handler {
	mux := newMux()
	mux.HandleFunc("GET /hijack", e.hijacked)
	handle(mux, getVersion, func(context.Context, *wire.Empty) (*wire.GetVersionResponse, error) {
		return &wire.GetVersionResponse{Version: "v1", Date: "2025-12-01", CommitHash: "0000000"}, nil
	})
	handle(mux, listPlugins, func(context.Context, *wire.Empty) (*wire.ListPluginsResponse, error) {
		response := &wire.ListPluginsResponse{}
		for _, each := range e.sorted() {
			listed := &wire.Plugin{Name: each.registration.Name, Version: each.registration.Version, External: each.external, RunStatus: 1}
			if provider := each.registration.GetSecretsProvider(); provider != nil {
				listed.Metadata = &wire.Plugin_SecretsProvider{SecretsProvider: provider}
			} else {
				listed.Metadata = &wire.Plugin_AccessControlModule{AccessControlModule: &wire.Empty{}}
			}
			response.Plugins = append(response.Plugins, listed)
		}
		return response, nil
	})
	handle(mux, getSecrets, func(ctx context.Context, r *wire.GetSecretsRequest) (*wire.GetSecretsResponse, error) {
		if !patternForm.MatchString(r.Pattern) {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the pattern %q is not valid", r.Pattern))
		}
		question := &wire.CheckAccessRequest{Pattern: r.Pattern, Requester: &wire.Requester{Pid: int32(os.Getpid()), Name: "docker-peer"}}
		if !allowed(ctx, e, checkAccess, question) {
			return nil, connect.NewError(connect.CodePermissionDenied, errors.New("denied"))
		}
		return e.resolve(ctx, r.Pattern)
	})
	handle(mux, authorize, func(ctx context.Context, r *wire.AuthorizeRequest) (*wire.DecisionResponse, error) {
		if len(r.Patterns) == 0 {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("there is no pattern"))
		}
		if allowed(ctx, e, authorizeAhead, r) {
			return decide("allow"), nil
		}
		return decide("deny"), nil
	})
	return mux
}

// allowed asks every access-control module; one that does not answer denies.
func allowed[Req any](ctx context.Context, e *engine, path string, question *Req) bool {
	for _, each := range e.sorted() {
		if each.registration.GetAccessControlModule() == nil {
			continue
		}
		answer, err := call[Req, wire.DecisionResponse](ctx, each.link.client, path, question)
		if err != nil || answer.Decision != 1 {
			return false
		}
	}
	return true
}

// resolve asks each provider with the narrower pattern; what fails is skipped.
func (e *engine) resolve(ctx context.Context, asked string) (*wire.GetSecretsResponse, error) {
	response := &wire.GetSecretsResponse{}
	for _, each := range e.sorted() {
		provider := each.registration.GetSecretsProvider()
		if provider == nil {
			continue
		}
		pattern, fits := narrower(provider.Pattern, asked)
		if !fits {
			continue
		}
		answer, err := call[wire.GetSecretsRequest, wire.GetSecretsResponse](ctx, each.link.client, getSecrets, &wire.GetSecretsRequest{Pattern: pattern})
		if err != nil {
			fmt.Fprintf(os.Stderr, "skipped %s: %v\n", each.registration.Name, err)
			continue
		}
		for _, envelope := range answer.Envelopes {
			envelope.Provider = each.registration.Name
			if envelope.ResolvedAt.AsTime().IsZero() {
				envelope.ResolvedAt = timestamppb.Now()
			}
			response.Envelopes = append(response.Envelopes, envelope)
		}
	}
	if len(response.Envelopes) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such secret"))
	}
	return response, nil
}

// hijacked takes a connection over, and answers as Docker's engine does: with
// a response whose version nobody has set.
func (e *engine) hijacked(w http.ResponseWriter, _ *http.Request) {
	conn, buffer, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	io.WriteString(conn, "HTTP/0.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
	l, err := e.attach(buffered{conn, buffer.Reader}, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "a plugin that started by itself:", err)
		return
	}
	<-l.session.CloseChan()
}

// shutdown asks all plugins to end, and closes their links when nothing is in
// flight any more.
func (e *engine) shutdown() {
	var group sync.WaitGroup
	for _, each := range e.sorted() {
		group.Add(1)
		go func() {
			defer group.Done()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if _, err := call[wire.Empty, wire.Empty](ctx, each.link.client, shutdown, &wire.Empty{}); err != nil {
				fmt.Fprintln(os.Stderr, "Shutdown:", err)
			}
			each.link.session.GoAway()
			for limit := time.Now().Add(2 * time.Second); each.link.session.NumStreams() > 0 && time.Now().Before(limit); {
				time.Sleep(10 * time.Millisecond)
			}
			each.link.session.Close()
		}()
	}
	group.Wait()
}

// baseName is the name of a launched plugin: that of its file.
func baseName(file string) string {
	return strings.TrimSuffix(file[strings.LastIndex(file, "/")+1:], ".exe")
}
