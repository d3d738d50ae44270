package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"plugmux.dev/bench/peers/echo"
	"plugmux.dev/bench/peers/gen/bench/v1/benchv1connect"
)

// connect-go's server on a unix socket, which the child inherits while it is listening: over HTTP/2 to its own client, and
// over HTTP/1.1 to the clients of load.go.

func serveConnectGo() error {
	listener, err := net.FileListener(os.NewFile(inheritedDescriptor, "inherited"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(echo.NewHandler())
	server := &http.Server{Handler: mux, Protocols: &http.Protocols{}}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(listener)
}

func measureConnectGo(b *bench) error {
	folder, err := os.MkdirTemp("", "connect-go")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "s")
	end, err := startListening("connect-go", path)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: dialer(path), Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	// Compression, which connect-go asks for by default, would only slow it down on a local link.
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	client := benchv1connect.NewBenchServiceClient(&http.Client{Transport: transport}, "http://unix", plain)
	return errors.Join(connectRPC(client).measure(b), load(b, path), end())
}

func dialer(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}
