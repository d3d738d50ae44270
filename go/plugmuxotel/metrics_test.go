package plugmuxotel_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"plugmux.dev/go/plugmuxotel"
)

const (
	say   = "/echo.v1.EchoService/Say"
	count = "/echo.v1.EchoService/Count"
)

type text = wrapperspb.StringValue

// serve serves Say, which fails for "missing", and Count, which sends three messages.
func serve(t *testing.T, metrics *plugmuxotel.Metrics) (*connect.Client[text, text], *connect.Client[text, text]) {
	mux := http.NewServeMux()
	measured := connect.WithInterceptors(metrics)
	mux.Handle(say, connect.NewUnaryHandler(say,
		func(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
			if request.Msg.Value == "missing" {
				return nil, connect.NewError(connect.CodeNotFound, errors.New("private"))
			}
			return connect.NewResponse(request.Msg), nil
		}, measured))
	mux.Handle(count, connect.NewServerStreamHandler(count,
		func(_ context.Context, _ *connect.Request[text], stream *connect.ServerStream[text]) error {
			for range 3 {
				if err := stream.Send(wrapperspb.String("x")); err != nil {
					return err
				}
			}
			return nil
		}, measured))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	unary := connect.NewClient[text, text](server.Client(), server.URL+say, measured)
	return unary, connect.NewClient[text, text](server.Client(), server.URL+count, measured)
}

func TestCallsAreCountedAndTimedOnBothEnds(t *testing.T) {
	reader := metric.NewManualReader()
	metrics, err := plugmuxotel.NewMetrics(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"))
	if err != nil {
		t.Fatal(err)
	}
	unary, streaming := serve(t, metrics)
	if _, err := unary.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("a"))); err != nil {
		t.Fatal(err)
	}
	if _, err := unary.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String("missing"))); err == nil {
		t.Fatal("a call that the handler fails has succeeded")
	}
	replies, err := streaming.CallServerStream(t.Context(), connect.NewRequest(wrapperspb.String("a")))
	if err != nil {
		t.Fatal(err)
	}
	received := 0
	for replies.Receive() {
		received++
	}
	if received != 3 || replies.Err() != nil || replies.Close() != nil {
		t.Fatalf("received %d messages, and %v", received, replies.Err())
	}
	left, err := streaming.CallServerStream(t.Context(), connect.NewRequest(wrapperspb.String("a")))
	if err != nil || !left.Receive() || left.Close() != nil {
		t.Fatalf("the stream did not begin: %v", err)
	}

	system := attribute.String("rpc.system.name", "connectrpc")
	code := func(of string) attribute.KeyValue { return attribute.String("rpc.response.status_code", of) }
	said, counted := attribute.String("rpc.method", say[1:]), attribute.String("rpc.method", count[1:])
	failed := attribute.String("error.type", "not_found")
	client, server := histogram(t, reader, "rpc.client.call.duration"), histogram(t, reader, "rpc.server.call.duration")
	for _, expected := range []struct {
		in  map[attribute.Set]uint64
		set attribute.Set
	}{
		{client, attribute.NewSet(system, said)},
		{client, attribute.NewSet(system, said, code("not_found"), failed)},
		{client, attribute.NewSet(system, counted)},
		{client, attribute.NewSet(system, counted, code("canceled"), attribute.String("error.type", "canceled"))},
		{server, attribute.NewSet(system, said)},
		{server, attribute.NewSet(system, said, code("not_found"))},
	} {
		if expected.in[expected.set] != 1 {
			t.Errorf("%v was counted %d times, not once", expected.set.Encoded(attribute.DefaultEncoder()), expected.in[expected.set])
		}
	}
	for _, point := range sum(t, reader, "plugmux.client.active_calls") {
		if point.Value != 0 {
			t.Errorf("%d calls are under way at the end", point.Value)
		}
	}
}

func find(t *testing.T, reader metric.Reader, name string) metricdata.Aggregation {
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, found := range scope.Metrics {
			if found.Name == name {
				return found.Data
			}
		}
	}
	t.Fatalf("there is no metric %s", name)
	return nil
}

func histogram(t *testing.T, reader metric.Reader, name string) map[attribute.Set]uint64 {
	counts := map[attribute.Set]uint64{}
	for _, point := range find(t, reader, name).(metricdata.Histogram[float64]).DataPoints {
		counts[point.Attributes] = point.Count
	}
	return counts
}

func sum(t *testing.T, reader metric.Reader, name string) []metricdata.DataPoint[int64] {
	return find(t, reader, name).(metricdata.Sum[int64]).DataPoints
}
