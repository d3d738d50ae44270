// Command probe is a plugin that tells its host what becomes of its handlers; tests/interop/probe/probe.py says how.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
	sumv1 "plugmux.dev/tests/interop/gen/go/sum/v1"
	"plugmux.dev/tests/interop/gen/go/sum/v1/sumv1connect"
)

var audit = kvv1connect.NewAuditServiceClient(plugmux.Host, plugmux.HostURL)

var host = sumv1connect.NewSumServiceClient(plugmux.Host, plugmux.HostURL)

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

type adder struct{}

func (adder) Sum(ctx context.Context, stream *connect.ClientStream[sumv1.SumRequest]) (*sumv1.SumResponse, error) {
	var came []*sumv1.SumRequest
	for stream.Receive() {
		if err := obey(ctx, "sum", stream.Msg().Order); err != nil {
			return nil, err
		}
		came = append(came, stream.Msg())
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if len(came) > 0 && came[0].Order == "forward" {
		return forwardSum(ctx, came)
	}
	response := &sumv1.SumResponse{}
	for _, request := range came {
		response.Sum += request.Number
		response.Ballast += int64(len(request.Ballast))
	}
	return response, nil
}

func forwardSum(ctx context.Context, requests []*sumv1.SumRequest) (*sumv1.SumResponse, error) {
	stream, err := host.Sum(ctx)
	if err != nil {
		return nil, err
	}
	for _, request := range requests {
		if stream.Send(request) != nil {
			break // CloseAndReceive says why
		}
	}
	return stream.CloseAndReceive()
}

func (adder) Running(ctx context.Context, stream *connect.BidiStream[sumv1.RunningRequest, sumv1.RunningResponse]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the call to the host
	var forward *connect.BidiStreamForClientSimple[sumv1.RunningRequest, sumv1.RunningResponse]
	response := &sumv1.RunningResponse{}
	for {
		request, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = obey(ctx, "running", request.Order)
		}
		if err == nil && request.Order == "forward" {
			if forward == nil {
				forward, err = host.Running(ctx)
			}
			if err == nil {
				_ = forward.Send(request) // Receive says why it cannot be sent
				response, err = forward.Receive()
			}
		} else {
			response.Sum += request.GetNumber()
		}
		if err == nil {
			err = stream.Send(response)
		}
		if err != nil {
			return err
		}
	}
}

func obey(ctx context.Context, what, order string) error {
	switch order {
	case "refuse":
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("as it was told"))
	case "wait":
		record(ctx, what+" begins")
		<-ctx.Done()
		record(ctx, what+" ends")
		return ctx.Err()
	}
	return nil
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
		plugmux.Service(sumv1connect.NewSumServiceHandler(adder{})),
		plugmux.RawStream("echo", echo),
		plugmux.RawStream("sha256", digest))
}
