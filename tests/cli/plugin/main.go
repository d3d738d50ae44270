// Command plugin is PLUGIN of tests/cli/conftest.py in Go, which starts at once; what it serves is named after its file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

var name = filepath.Base(os.Args[0])

type store struct {
	kvv1connect.UnimplementedKeyValueServiceHandler
}

func (store) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	if request.Key == "missing" {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such key"))
	}
	return &kvv1.GetResponse{Value: []byte(request.Key + " of " + name)}, nil
}

func (store) Watch(ctx context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	for number := range 3 {
		if err := stream.Send(&kvv1.WatchResponse{Value: fmt.Append(nil, number)}); err != nil {
			return err
		}
	}
	switch request.Key {
	case "endless":
		<-ctx.Done()
	case "broken":
		return connect.NewError(connect.CodeDataLoss, errors.New("no more"))
	}
	return ctx.Err()
}

func secrets(_ context.Context, pattern plugmux.Pattern) ([]plugmux.Secret, error) {
	owner := map[string]string{"owner": "us"}
	return []plugmux.Secret{
		{ID: name + "/a", Value: []byte("hunter2\xff"), Version: "1", Metadata: owner},
		{ID: name + "/b", Value: []byte("two"), Version: "1", Metadata: owner},
	}, nil
}

func main() {
	fmt.Println("a plugin may print what it likes")
	plugmux.Main(plugmux.Config{Version: "v1.2.3"},
		plugmux.Secrets(plugmux.Pattern(name+"/**"), secrets),
		plugmux.Service(kvv1connect.NewKeyValueServiceHandler(store{})))
}
