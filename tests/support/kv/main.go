// Command kv is KV_PLUGIN of tests/support/programs.py, whose every word means the same here. It starts at once, for tests
// of the host that hold for a plugin in any language. An argument is its version.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

var audit = kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL)

type store struct {
	mu       sync.Mutex
	values   map[string][]byte
	failures int // how many of the next calls fail
	calls    int // of Get
}

// failing tells whether this call is one of those that fail.
func (s *store) failing() error {
	if s.failures == 0 {
		return nil
	}
	s.failures--
	return unavailable()
}

// unlocked waits for something while other calls go on.
func (s *store) unlocked(wait func()) {
	s.mu.Unlock()
	defer s.mu.Lock()
	wait()
}

// appears tells that a call has begun, in a file beside another, and waits until that other one is there.
func appears(ctx context.Context, path string) error {
	if err := os.WriteFile(path+".begun", nil, 0o600); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ctx.Err()
}

func unavailable() error { return connect.NewError(connect.CodeUnavailable, fmt.Errorf("not now")) }

func exit() {
	fmt.Fprintln(os.Stderr, "on my way out")
	os.Exit(7)
}

func (s *store) Get(ctx context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	word, argument, _ := strings.Cut(request.Key, " ")
	switch word {
	case "calls":
		return &kvv1.GetResponse{Value: []byte(strconv.Itoa(s.calls))}, nil
	case "large":
		return &kvv1.GetResponse{Value: make([]byte, 1000)}, nil
	case "exit":
		exit()
	case "env":
		return &kvv1.GetResponse{Value: []byte(os.Getenv(argument))}, nil
	case "hang":
		s.unlocked(func() { <-ctx.Done() })
		return nil, ctx.Err()
	case "wait":
		var err error
		s.unlocked(func() { err = appears(ctx, strings.TrimPrefix(argument, "for ")) })
		return &kvv1.GetResponse{Value: s.values["version"]}, err
	}
	if err := s.failing(); err != nil {
		return nil, err
	}
	if request.Key == "call the host" {
		var err error
		s.unlocked(func() { _, err = audit.Record(ctx, &kvv1.RecordRequest{Plugin: "kv", Event: "get"}) })
		if err != nil {
			return nil, err
		}
	}
	if value, known := s.values[request.Key]; known {
		return &kvv1.GetResponse{Value: value}, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no key '%s'", request.Key))
}

func (s *store) Put(_ context.Context, request *kvv1.PutRequest) (*kvv1.PutResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch request.Key {
	case "exit":
		exit()
	case "failures":
		count, err := strconv.Atoi(string(request.Value))
		s.failures = count
		return &kvv1.PutResponse{}, err
	}
	if err := s.failing(); err != nil {
		return nil, err
	}
	s.values[request.Key] = request.Value
	return &kvv1.PutResponse{}, nil
}

func (s *store) Watch(ctx context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	count := 3
	switch request.Key {
	case "unavailable":
		return unavailable()
	case "begin":
		count = 1
	case "hang":
		count = 0
	}
	for n := range count {
		if err := stream.Send(&kvv1.WatchResponse{Value: []byte(strconv.Itoa(n))}); err != nil {
			return err
		}
	}
	if count < 3 {
		<-ctx.Done()
	}
	return ctx.Err()
}

func main() {
	version := "v1.2.3"
	if len(os.Args) > 1 {
		version = os.Args[1]
	}
	kv := &store{values: map[string][]byte{"pid": []byte(strconv.Itoa(os.Getpid())), "version": []byte(version)}}
	plugmux.Main(plugmux.Config{Version: version}, plugmux.Service(kvv1connect.NewKeyValueServiceHandler(kv)))
}
