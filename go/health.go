package plugmux

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"connectrpc.com/connect"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
)

const healthService = "grpc.health.v1.Health"

// Health tells the runtime whether the plugin and its services are ready, by gRPC's health checking protocol. Assign one to
// [Config.Health] to report a change. Everything is ready until Set says otherwise. A Health may be used at any time and by
// several goroutines at once.
type Health struct {
	lock    sync.Mutex
	serving map[string]bool
	changed chan struct{} // closed by the next change
}

// Set reports whether a service is ready, by its full name; "" stands for the whole plugin.
func (h *Health) Set(service string, serving bool) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.begin()
	h.serving[service] = serving
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Health) begin() {
	if h.serving == nil {
		h.serving, h.changed = map[string]bool{}, make(chan struct{})
	}
}

// know adds services that are ready until Set says otherwise.
func (h *Health) know(services ...string) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.begin()
	known := map[string]bool{"": true}
	for _, service := range services {
		known[service] = true
	}
	maps.Copy(known, h.serving)
	h.serving = known
}

// status returns the status of a service, and a channel that is closed by the next change.
func (h *Health) status(service string) (plugmuxv1.HealthCheckResponse_ServingStatus, <-chan struct{}) {
	h.lock.Lock()
	defer h.lock.Unlock()
	serving, known := h.serving[service]
	switch {
	case !known:
		return plugmuxv1.HealthCheckResponse_SERVICE_UNKNOWN, h.changed
	case serving:
		return plugmuxv1.HealthCheckResponse_SERVING, h.changed
	default:
		return plugmuxv1.HealthCheckResponse_NOT_SERVING, h.changed
	}
}

func (h *Health) check(_ context.Context, request *plugmuxv1.HealthCheckRequest) (*plugmuxv1.HealthCheckResponse, error) {
	status, _ := h.status(request.Service)
	if status == plugmuxv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("the plugin serves no service "+request.Service))
	}
	return &plugmuxv1.HealthCheckResponse{Status: status}, nil
}

func (h *Health) watch(ctx context.Context, request *plugmuxv1.HealthCheckRequest, stream *connect.ServerStream[plugmuxv1.HealthCheckResponse]) error {
	told := plugmuxv1.HealthCheckResponse_UNKNOWN
	for {
		status, changed := h.status(request.Service)
		if status != told {
			if err := stream.Send(&plugmuxv1.HealthCheckResponse{Status: status}); err != nil {
				return err
			}
			told = status
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// serveHealth serves the plugin's health, unless the plugin serves grpc.health.v1.Health itself.
func (s *linkApp) serveHealth(health *Health) {
	if slices.Contains(s.announcement.Services, healthService) {
		return
	}
	if health == nil {
		health = &Health{}
	}
	health.know(s.announcement.Services...)
	const path = "/" + healthService + "/"
	s.serve(path+"Check", connect.NewUnaryHandlerSimple(path+"Check", health.check))
	s.serve(path+"Watch", connect.NewServerStreamHandlerSimple(path+"Watch", health.watch))
}
