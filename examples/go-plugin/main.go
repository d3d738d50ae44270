// A plugin in Go: it gives secrets, serves a key-value store, and reports each Put to the host.
package main

import (
	"context"
	"errors"
	"log/slog"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

var audit = kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL) // the host serves it

type store struct {
	values plugmux.WatchMap[string, []byte]
}

func (s *store) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	if value, known := s.values.Get(request.Key); known {
		return &kvv1.GetResponse{Value: value}, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, errors.New("no such key: "+request.Key))
}

func (s *store) Put(ctx context.Context, request *kvv1.PutRequest) (*kvv1.PutResponse, error) {
	s.values.Set(request.Key, request.Value)
	if _, err := audit.Record(ctx, &kvv1.RecordRequest{Plugin: "go-plugin", Event: "put " + request.Key}); err != nil {
		slog.Warn("put not audited", "key", request.Key, "error", err) // a host need not serve AuditService
	}
	return &kvv1.PutResponse{}, nil
}

func (s *store) Watch(ctx context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	for value := range s.values.Watch(ctx, request.Key) {
		if err := stream.Send(&kvv1.WatchResponse{Value: value}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func secrets(context.Context, plugmux.Pattern) ([]plugmux.Secret, error) {
	return []plugmux.Secret{{ID: "go/greeting", Value: []byte("hello from Go")}}, nil
}

func main() {
	logs := plugmux.NewLogHandler(nil)
	slog.SetDefault(slog.New(logs))
	plugmux.Main(plugmux.Config{Version: "v1.0.0", Logs: logs},
		plugmux.Secrets("go/**", secrets),
		plugmux.Service(kvv1connect.NewKeyValueServiceHandler(&store{})))
}
