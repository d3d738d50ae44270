package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	benchv1 "plugmux.dev/bench/peers/gen/bench/v1"
)

// grpcService is the benchmark's service for gRPC.
type grpcService struct {
	benchv1.UnimplementedBenchServiceServer
}

func (grpcService) Echo(_ context.Context, request *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
	return &benchv1.EchoResponse{Payload: request.GetPayload()}, nil
}

func (grpcService) Download(request *benchv1.DownloadRequest, stream grpc.ServerStreamingServer[benchv1.Chunk]) error {
	return sendChunks(stream.Send, int(request.GetCount()), int(request.GetSize()))
}

func (grpcService) Upload(stream grpc.ClientStreamingServer[benchv1.Chunk, benchv1.UploadResponse]) error {
	response, err := countChunks(stream.Recv)
	if err != nil {
		return err
	}
	return stream.SendAndClose(response)
}

type grpcCaller struct {
	client benchv1.BenchServiceClient
}

func (c grpcCaller) echo(payload []byte) error {
	response, err := c.client.Echo(context.Background(), &benchv1.EchoRequest{Payload: payload})
	if err != nil {
		return err
	}
	return whole(len(response.GetPayload()), len(payload))
}

func (c grpcCaller) download(count, size int) error {
	stream, err := c.client.Download(context.Background(), &benchv1.DownloadRequest{Count: uint32(count), Size: uint32(size)})
	if err != nil {
		return err
	}
	return receiveAll(stream.Recv, count, size)
}

func (c grpcCaller) upload(count, size int) error {
	stream, err := c.client.Upload(context.Background())
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

func countChunks(receive func() (*benchv1.Chunk, error)) (*benchv1.UploadResponse, error) {
	response := &benchv1.UploadResponse{}
	for {
		chunk, err := receive()
		if errors.Is(err, io.EOF) {
			return response, nil
		} else if err != nil {
			return nil, err
		}
		response.Count++
		response.Bytes += uint64(len(chunk.GetPayload()))
	}
}

func receiveAll(receive func() (*benchv1.Chunk, error), count, size int) error {
	got, err := countChunks(receive)
	if err != nil {
		return err
	}
	return whole(int(got.GetBytes()), count*size)
}
