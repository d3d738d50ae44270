package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	benchv1 "plugmux.dev/bench/peers/gen/bench/v1"
)

// HashiCorp's go-plugin with gRPC, as its own gRPC example sets it up.

const launches = 10

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "BENCH_PLUGIN", MagicCookieValue: "bench"}

type benchPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (benchPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	benchv1.RegisterBenchServiceServer(server, grpcService{})
	return nil
}

func (benchPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return grpcRPC(benchv1.NewBenchServiceClient(conn)), nil
}

func serveGoPlugin() error {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         plugin.PluginSet{"bench": benchPlugin{}},
		GRPCServer:      plugin.DefaultGRPCServer,
		Logger:          hclog.NewNullLogger(),
	})
	return nil
}

func launchGoPlugin() (*plugin.Client, rpc, error) {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugin.PluginSet{"bench": benchPlugin{}},
		Cmd:              exec.Command(os.Args[0], childArgument, "go-plugin"),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       io.Discard,
		SyncStderr:       os.Stderr,
	})
	protocol, err := client.Client()
	if err != nil {
		return client, rpc{}, err
	}
	raw, err := protocol.Dispense("bench")
	if err != nil {
		return client, rpc{}, err
	}
	c, ok := raw.(rpc)
	if !ok {
		return client, rpc{}, fmt.Errorf("go-plugin gave a %T", raw)
	}
	return client, c, nil
}

func measureGoPlugin(b *bench) error {
	client, c, err := launchGoPlugin()
	defer client.Kill()
	if err != nil {
		return err
	}
	if err := c.measure(b); err != nil || !b.wants("launch") {
		return err
	}
	var took []time.Duration
	for range launches {
		begin := time.Now()
		client, _, err := launchGoPlugin()
		took = append(took, time.Since(begin))
		client.Kill()
		if err != nil {
			return err
		}
	}
	slices.Sort(took)
	return b.print(row{Work: "launch", P50: float64(took[len(took)/2]) / microseconds, N: launches})
}
