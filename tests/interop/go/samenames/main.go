// Command samenames is a plugin whose protos have the names of plugmux's own.
package main

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"
	plugmux "plugmux.dev/go"
	healthv1 "plugmux.dev/tests/interop/gen/go/health/v1"
	"plugmux.dev/tests/interop/gen/go/health/v1/healthv1connect"
	pluginsv1 "plugmux.dev/tests/interop/gen/go/plugins/v1"
	"plugmux.dev/tests/interop/gen/go/plugins/v1/pluginsv1connect"
)

type catalog struct{}

func (catalog) ListPlugins(_ context.Context, request *pluginsv1.ListPluginsRequest) (*pluginsv1.ListPluginsResponse, error) {
	return &pluginsv1.ListPluginsResponse{Plugin: &pluginsv1.Plugin{
		Title:  "of " + request.Shop,
		Since:  &timestamppb.Timestamp{Seconds: 7},
		Status: pluginsv1.RunStatus_RUN_STATUS_ASLEEP,
	}}, nil
}

type pulse struct{}

func (pulse) GetVersion(_ context.Context, request *healthv1.GetVersionRequest) (*healthv1.GetVersionResponse, error) {
	return &healthv1.GetVersionResponse{Beats: uint32(len(request.Patient))}, nil
}

func main() {
	plugmux.Main(plugmux.Config{Version: "v1.0.0"},
		plugmux.Service(pluginsv1connect.NewCatalogServiceHandler(catalog{})),
		plugmux.Service(healthv1connect.NewPulseServiceHandler(pulse{})))
}
