// Command configured is a plugin with a configuration and two protocol versions; tests/interop/configured/configured.py
// says how.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

const schema = `{
	"type": "object",
	"properties": {"region": {"type": "string"}, "greeting": {"type": "string"}},
	"required": ["region"],
	"additionalProperties": false
}`

type options struct {
	Region   string `json:"region"`
	Greeting string `json:"greeting"`
}

type store struct {
	kvv1connect.UnimplementedKeyValueServiceHandler
	settings *plugmux.Settings[options]
}

func (s store) Get(ctx context.Context, _ *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	now := s.settings.Get()
	version := plugmux.Runtime(ctx).GetProtocolVersion()
	return &kvv1.GetResponse{Value: fmt.Appendf(nil, "%s, region %s, protocol %d", now.Greeting, now.Region, version)}, nil
}

func refuse(changed options) error {
	if changed.Greeting == "forbidden" {
		return errors.New("no such greeting")
	}
	return nil
}

func main() {
	settings := &plugmux.Settings[options]{Schema: schema, Default: options{Greeting: "hello"}, OnChange: refuse}
	if slices.Contains(os.Args, "fixed") {
		settings.OnChange = nil
	}
	plugmux.Main(
		plugmux.Config{
			Version:          "v1.2.0",
			ProtocolVersions: []uint32{1, 2},
			Capabilities:     []string{"greeting"},
			Labels:           map[string]string{"team": "a"},
		},
		settings.Servable(),
		plugmux.Service(kvv1connect.NewKeyValueServiceHandler(store{settings: settings})),
	)
}
