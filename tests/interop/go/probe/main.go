// Command probe is a plugin that tells its host what becomes of its handlers; tests/interop/probe/probe.py says how.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

var audit = kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL)

type probe struct {
	kvv1connect.UnimplementedKeyValueServiceHandler
}

func (probe) Get(ctx context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	value := []byte(request.Key)
	switch what, name, _ := strings.Cut(request.Key, " "); what {
	case "wait":
		record(ctx, "get begins")
		<-ctx.Done()
		record(ctx, "get ends")
		return nil, ctx.Err()
	case "forward":
		if _, err := audit.Record(ctx, &kvv1.RecordRequest{Plugin: "probe", Event: "forward"}); err != nil {
			return nil, err
		}
	case "time":
		value = []byte("none")
		if deadline, ok := ctx.Deadline(); ok {
			value = fmt.Append(nil, time.Until(deadline).Milliseconds())
		}
	case "open":
		value = sayHello(ctx, name)
	}
	return &kvv1.GetResponse{Value: value}, nil
}

func (probe) Watch(ctx context.Context, request *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	if err := stream.Send(&kvv1.WatchResponse{Value: []byte("first")}); err != nil {
		return err
	}
	if request.Key == "wait" {
		record(ctx, "watch begins")
		<-ctx.Done()
		record(ctx, "watch ends")
		return ctx.Err()
	}
	defer record(ctx, "flood ends")
	for {
		if err := stream.Send(&kvv1.WatchResponse{Value: make([]byte, 65536)}); err != nil {
			return err
		}
	}
}

// record tells the host, also when the handler's own context has ended.
func record(ctx context.Context, event string) {
	_, _ = audit.Record(context.WithoutCancel(ctx), &kvv1.RecordRequest{Plugin: "probe", Event: event})
}

func sayHello(ctx context.Context, name string) []byte {
	stream, err := plugmux.OpenStream(ctx, name)
	if err != nil {
		return fmt.Append(nil, "refused: ", err)
	}
	defer stream.Close()
	_, _ = io.WriteString(stream, "hello")
	_ = stream.CloseWrite()
	answer, _ := io.ReadAll(stream)
	return answer
}

func echo(_ context.Context, stream *plugmux.Stream) { _, _ = io.Copy(stream, stream) }

func digest(_ context.Context, stream *plugmux.Stream) {
	hash := sha256.New()
	_, _ = io.Copy(hash, stream)
	_, _ = fmt.Fprintf(stream, "%x", hash.Sum(nil))
}

func main() {
	plugmux.Main(plugmux.Config{Version: "v1.0.0"},
		plugmux.Service(kvv1connect.NewKeyValueServiceHandler(probe{})),
		plugmux.RawStream("echo", echo),
		plugmux.RawStream("sha256", digest))
}
