// Package plugmuxotel measures the calls of a plugin with OpenTelemetry. It is a module of its own, so that plugins
// without it do not depend on OpenTelemetry.
//
//	metrics, err := plugmuxotel.NewMetrics(nil)
//	plugmux.Service(kvv1connect.NewKeyValueServiceHandler(&store{}, connect.WithInterceptors(metrics)))
//
// For traces use connectrpc.com/otelconnect, which also measures calls, by the names that OpenTelemetry's conventions
// had before they became stable.
package plugmuxotel

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// bounds are the upper bounds of the buckets, in seconds: those that the conventions advise, and shorter ones, since a
// call to a plugin takes about 0.1 ms.
var bounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// Metrics is an interceptor for handlers and clients. It records rpc.server.call.duration and rpc.client.call.duration, in
// seconds, and the calls under way: plugmux.server.active_calls and plugmux.client.active_calls. The attributes are
// rpc.system.name, rpc.method and, where a call failed, rpc.response.status_code and error.type.
type Metrics struct {
	server, client instruments
	now            func() time.Time
}

type instruments struct {
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter
	isError  func(connect.Code) bool
}

// NewMetrics makes the interceptor. The meter is that of the global provider by default. It returns the error of a meter
// that cannot make an instrument.
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	if meter == nil {
		meter = otel.Meter("plugmux.dev/go/plugmuxotel")
	}
	server, err := newInstruments(meter, "server", isFaultOfServer)
	if err != nil {
		return nil, err
	}
	client, err := newInstruments(meter, "client", func(connect.Code) bool { return true })
	if err != nil {
		return nil, err
	}
	return &Metrics{server: server, client: client, now: time.Now}, nil
}

func newInstruments(meter metric.Meter, end string, isError func(connect.Code) bool) (instruments, error) {
	duration, err := meter.Float64Histogram("rpc."+end+".call.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long a call took, at its "+end+"."),
		metric.WithExplicitBucketBoundaries(bounds...))
	if err != nil {
		return instruments{}, err
	}
	active, err := meter.Int64UpDownCounter("plugmux."+end+".active_calls",
		metric.WithUnit("{call}"),
		metric.WithDescription("Calls under way, at their "+end+"."))
	return instruments{duration, active, isError}, err
}

// A server's faults are these codes; the other errors are the caller's. (The conventions for Connect RPC.)
func isFaultOfServer(code connect.Code) bool {
	switch code {
	case connect.CodeUnknown, connect.CodeDeadlineExceeded, connect.CodeUnimplemented, connect.CodeInternal,
		connect.CodeUnavailable, connect.CodeDataLoss:
		return true
	}
	return false
}

func (m *Metrics) of(spec connect.Spec) instruments {
	if spec.IsClient {
		return m.client
	}
	return m.server
}

// begin notes that a call begins, and returns what notes its end, once.
func (m *Metrics) begin(ctx context.Context, spec connect.Spec) func(error) {
	of, began := m.of(spec), m.now()
	told := []attribute.KeyValue{
		attribute.String("rpc.system.name", "connectrpc"),
		attribute.String("rpc.method", strings.TrimPrefix(spec.Procedure, "/")),
	}
	ctx = context.WithoutCancel(ctx)
	of.active.Add(ctx, 1, metric.WithAttributes(told...))
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			of.active.Add(ctx, -1, metric.WithAttributes(told...))
			if err != nil {
				code := connect.CodeOf(err)
				told = append(told, attribute.String("rpc.response.status_code", code.String()))
				if of.isError(code) {
					told = append(told, attribute.String("error.type", code.String()))
				}
			}
			of.duration.Record(ctx, m.now().Sub(began).Seconds(), metric.WithAttributes(told...))
		})
	}
}

// WrapUnary measures unary calls.
func (m *Metrics) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		end := m.begin(ctx, request.Spec())
		response, err := next(ctx, request)
		end(err)
		return response, err
	}
}

// WrapStreamingHandler measures streams that the plugin serves.
func (m *Metrics) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		end := m.begin(ctx, conn.Spec())
		err := next(ctx, conn)
		end(err)
		return err
	}
}

// WrapStreamingClient measures streams that the plugin calls: from their start until their end has been received, or the
// caller has closed them.
func (m *Metrics) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return &measuredConn{next(ctx, spec), m.begin(ctx, spec)}
	}
}

type measuredConn struct {
	connect.StreamingClientConn
	end func(error)
}

func (c *measuredConn) Receive(message any) error {
	err := c.StreamingClientConn.Receive(message)
	if errors.Is(err, io.EOF) {
		c.end(nil)
	} else if err != nil {
		c.end(err)
	}
	return err
}

func (c *measuredConn) CloseResponse() error {
	err := c.StreamingClientConn.CloseResponse()
	c.end(connect.NewError(connect.CodeCanceled, errors.New("the caller closed the stream before its end")))
	return err
}
