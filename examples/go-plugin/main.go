// A plugin in Go: it gives secrets, serves a key-value store, and reports each Put to the host.
package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

var audit = kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL) // the host serves it

type store struct {
	lock   sync.Mutex
	values map[string][][]byte // all that a key has had, so that whoever watches it misses none
	grown  chan struct{}       // closed by the next Put
}

func (s *store) look(key string) ([][]byte, <-chan struct{}) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.values[key], s.grown
}

func (s *store) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	if values, _ := s.look(request.Key); len(values) > 0 {
		return &kvv1.GetResponse{Value: values[len(values)-1]}, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, errors.New("no such key: "+request.Key))
}

func (s *store) Put(ctx context.Context, request *kvv1.PutRequest) (*kvv1.PutResponse, error) {
	s.lock.Lock()
	s.values[request.Key] = append(s.values[request.Key], request.Value)
	close(s.grown)
	s.grown = make(chan struct{})
	s.lock.Unlock()
	if _, err := audit.Record(ctx, &kvv1.RecordRequest{Plugin: "go-plugin", Event: "put " + request.Key}); err != nil {
		slog.Warn("put not audited", "key", request.Key, "error", err) // a host need not serve AuditService
	}
	return &kvv1.PutResponse{}, nil
}

func (s *store) Watch(ctx context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	values, grown := s.look(request.Key)
	for sent := max(len(values)-1, 0); ; values, grown = s.look(request.Key) {
		for ; sent < len(values); sent++ {
			if err := stream.Send(&kvv1.WatchResponse{Value: values[sent]}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

func secrets(context.Context, plugmux.Pattern) ([]plugmux.Secret, error) {
	return []plugmux.Secret{{ID: "go/greeting", Value: []byte("hello from Go")}}, nil
}

func main() {
	logs := plugmux.NewLogHandler(nil)
	slog.SetDefault(slog.New(logs))
	plugmux.Main(plugmux.Config{Version: "v1.0.0", Logs: logs},
		plugmux.Secrets("go/**", secrets),
		plugmux.Service(kvv1connect.NewKeyValueServiceHandler(&store{values: map[string][][]byte{}, grown: make(chan struct{})})))
}
