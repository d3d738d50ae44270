package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	benchv1 "plugmux.dev/bench/peers/gen/bench/v1"
)

// rpc is an RPC system's client, as far as the benchmark needs it.
type rpc struct {
	echo     func(context.Context, *benchv1.EchoRequest) (*benchv1.EchoResponse, error)
	download func(context.Context, *benchv1.DownloadRequest) (receive, error)
	upload   func(context.Context) (uploader, error)
}

// receive gives the next message of a stream, and io.EOF after the last.
type receive func() (*benchv1.Chunk, error)

type uploader interface {
	Send(*benchv1.Chunk) error
	CloseAndRecv() (*benchv1.UploadResponse, error)
}

// measure measures the system on all of its works.
func (r rpc) measure(b *bench) error {
	return errors.Join(
		b.calls("unary-serial", 1, 100, r.callEcho),
		b.calls("unary-16", 16, 100, r.callEcho),
		b.calls("unary-64k", 1, chunkSize, r.callEcho),
		b.calls("unary-1m", 1, mebibyte, r.callEcho),
		b.stream("stream-100b", 5_000, 100, r.callDownload),
		b.stream("stream-64k", 500, chunkSize, r.callDownload),
		b.stream("upload-64k", 500, chunkSize, r.callUpload),
	)
}

func (r rpc) callEcho(payload []byte) error {
	response, err := r.echo(context.Background(), &benchv1.EchoRequest{Payload: payload})
	if err != nil {
		return err
	}
	return whole(len(response.GetPayload()), len(payload))
}

func (r rpc) callDownload(count, size int) error {
	next, err := r.download(context.Background(), &benchv1.DownloadRequest{Count: uint32(count), Size: uint32(size)})
	if err != nil {
		return err
	}
	got, err := countChunks(next)
	if err != nil {
		return err
	}
	return whole(int(got.GetBytes()), count*size)
}

func (r rpc) callUpload(count, size int) error {
	stream, err := r.upload(context.Background())
	if err != nil {
		return err
	}
	if err := sendChunks(stream.Send, count, size); err != nil {
		return err
	}
	response, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	return whole(int(response.GetBytes()), count*size)
}

func sendChunks(send func(*benchv1.Chunk) error, count, size int) error {
	chunk := &benchv1.Chunk{Payload: make([]byte, size)}
	for range count {
		if err := send(chunk); err != nil {
			return err
		}
	}
	return nil
}

func countChunks(next receive) (*benchv1.UploadResponse, error) {
	response := &benchv1.UploadResponse{}
	for {
		chunk, err := next()
		if errors.Is(err, io.EOF) {
			return response, nil
		} else if err != nil {
			return nil, err
		}
		response.Count++
		response.Bytes += uint64(len(chunk.GetPayload()))
	}
}

// whole says that a peer has moved other than it should.
func whole(got, want int) error {
	if got != want {
		return fmt.Errorf("%d bytes came in place of %d", got, want)
	}
	return nil
}
