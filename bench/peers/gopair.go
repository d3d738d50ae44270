package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	"plugmux.dev/bench/peers/echo"
	benchv1 "plugmux.dev/bench/peers/gen/bench/v1"
	"plugmux.dev/bench/peers/gen/bench/v1/benchv1connect"
)

// The Go pair is Docker's stack on both sides: hashicorp/yamux, net/http and connect-go, a stream per call.

func servePair() error {
	conn, err := inheritedConn()
	if err != nil {
		return err
	}
	session, err := yamux.Client(conn, quiet())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(echo.NewHandler())
	if err := http.Serve(session, mux); !session.IsClosed() {
		return err
	}
	return nil
}

func measurePair(b *bench) error {
	child, err := startChild("go-pair")
	if err != nil {
		return err
	}
	session, err := yamux.Server(child, quiet())
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return session.Open() },
		DisableKeepAlives: true,
	}}
	// Compression, which connect-go asks for by default, would only slow it down on a local link.
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	err = connectRPC(benchv1connect.NewBenchServiceClient(client, "http://unix", plain)).measure(b)
	return errors.Join(err, session.Close(), child.process.Wait())
}

func connectRPC(client benchv1connect.BenchServiceClient) rpc {
	return rpc{
		echo: client.Echo,
		download: func(ctx context.Context, request *benchv1.DownloadRequest) (receive, error) {
			stream, err := client.Download(ctx, request)
			return func() (*benchv1.Chunk, error) {
				if stream.Receive() {
					return stream.Msg(), nil
				}
				if err := errors.Join(stream.Err(), stream.Close()); err != nil {
					return nil, err
				}
				return nil, io.EOF
			}, err
		},
		upload: func(ctx context.Context) (uploader, error) {
			stream, err := client.Upload(ctx)
			return connectUploader{stream}, err
		},
	}
}

type connectUploader struct {
	*connect.ClientStreamForClientSimple[benchv1.Chunk, benchv1.UploadResponse]
}

func (u connectUploader) CloseAndRecv() (*benchv1.UploadResponse, error) { return u.CloseAndReceive() }
