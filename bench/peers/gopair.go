package main

import (
	"context"
	"errors"
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
	err = b.rpc(connectCaller{benchv1connect.NewBenchServiceClient(client, "http://unix", plain)})
	return errors.Join(err, session.Close(), child.process.Wait())
}

type connectCaller struct {
	client benchv1connect.BenchServiceClient
}

func (c connectCaller) echo(payload []byte) error {
	response, err := c.client.Echo(context.Background(), &benchv1.EchoRequest{Payload: payload})
	if err != nil {
		return err
	}
	return whole(len(response.GetPayload()), len(payload))
}

func (c connectCaller) download(count, size int) error {
	stream, err := c.client.Download(context.Background(), &benchv1.DownloadRequest{Count: uint32(count), Size: uint32(size)})
	if err != nil {
		return err
	}
	got := 0
	for stream.Receive() {
		got += len(stream.Msg().GetPayload())
	}
	return errors.Join(stream.Err(), stream.Close(), whole(got, count*size))
}

func (c connectCaller) upload(count, size int) error {
	stream, err := c.client.Upload(context.Background())
	if err != nil {
		return err
	}
	chunk := &benchv1.Chunk{Payload: make([]byte, size)}
	for range count {
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
	response, err := stream.CloseAndReceive()
	if err != nil {
		return err
	}
	return whole(int(response.GetBytes()), count*size)
}
