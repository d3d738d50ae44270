// Command main serves kv.v1.KeyValueService by connect-go, on a TCP port that it
// prints, until its standard input ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
)

type store struct {
	kvv1connect.UnimplementedKeyValueServiceHandler
}

func (store) Get(ctx context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	info, _ := connect.CallInfoForHandlerContext(ctx)
	info.ResponseHeader().Set("X-Method", info.HTTPMethod())
	info.ResponseTrailer().Set("X-After", "all")
	if request.Key == "missing" {
		err := connect.NewError(connect.CodeNotFound, errors.New("no such key"))
		detail, _ := connect.NewErrorDetail(request)
		err.AddDetail(detail)
		return nil, err
	}
	if request.Key == "sleep" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &kvv1.GetResponse{Value: []byte(request.Key)}, nil
}

func (store) Watch(_ context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	for i := range 3 {
		if err := stream.Send(&kvv1.WatchResponse{Value: fmt.Appendf(nil, "%s%d", request.Key, i)}); err != nil {
			return err
		}
	}
	stream.ResponseTrailer().Set("X-After", "all")
	return nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle(kvv1connect.NewKeyValueServiceHandler(store{}))
	go func() { panic(http.Serve(listener, mux)) }()
	fmt.Printf("http://%s\n", listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
