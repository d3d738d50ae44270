// A plugin in Go: it gives secrets, serves a key-value store, and reports each Put to the host.
package main

import (
	"context"
	"errors"
	"log"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

type service struct {
	*store
	audit kvv1connect.AuditServiceClient // served by the host
}

func (s *service) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	values, _ := s.look(request.Key)
	if len(values) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such key: "+request.Key))
	}
	return &kvv1.GetResponse{Value: values[len(values)-1]}, nil
}

func (s *service) Put(ctx context.Context, request *kvv1.PutRequest) (*kvv1.PutResponse, error) {
	s.put(request.Key, request.Value)
	if _, err := s.audit.Record(ctx, &kvv1.RecordRequest{Plugin: "go-plugin", Event: "put " + request.Key}); err != nil {
		log.Printf("put %s: not audited: %v", request.Key, err) // a host need not serve AuditService
	}
	return &kvv1.PutResponse{}, nil
}

func (s *service) Watch(ctx context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	return s.watch(ctx, request.Key, func(value []byte) error {
		return stream.Send(&kvv1.WatchResponse{Value: value})
	})
}

func secrets(context.Context, plugmux.Pattern) ([]plugmux.Secret, error) {
	return []plugmux.Secret{{ID: "go/greeting", Value: []byte("hello from Go")}}, nil
}

func main() {
	kv := &service{newStore(), kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL)}
	plugmux.Main(plugmux.Config{Version: "v1.0.0"},
		plugmux.Secrets("go/**", secrets),
		plugmux.Service(kvv1connect.NewKeyValueServiceHandler(kv)))
}
