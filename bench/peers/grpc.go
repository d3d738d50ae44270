package main

import (
	"context"

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

func grpcRPC(client benchv1.BenchServiceClient) rpc {
	return rpc{
		echo: func(ctx context.Context, request *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
			return client.Echo(ctx, request)
		},
		download: func(ctx context.Context, request *benchv1.DownloadRequest) (receive, error) {
			stream, err := client.Download(ctx, request)
			if err != nil {
				return nil, err
			}
			return stream.Recv, nil
		},
		upload: func(ctx context.Context) (uploader, error) { return client.Upload(ctx) },
	}
}
