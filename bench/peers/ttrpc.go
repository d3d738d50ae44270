package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	"github.com/containerd/ttrpc"
	benchv1 "plugmux.dev/bench/peers/gen/bench/v1"
)

// containerd's ttrpc over a unix socket, which the child inherits while it is listening.

type ttrpcService struct{ grpcService }

func (ttrpcService) Download(_ context.Context, request *benchv1.DownloadRequest, stream benchv1.TTRPCBenchService_DownloadServer) error {
	return sendChunks(stream.Send, int(request.GetCount()), int(request.GetSize()))
}

func (ttrpcService) Upload(_ context.Context, stream benchv1.TTRPCBenchService_UploadServer) (*benchv1.UploadResponse, error) {
	return countChunks(stream.Recv)
}

func serveTTRPC() error {
	listener, err := net.FileListener(os.NewFile(inheritedDescriptor, "inherited"))
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	benchv1.RegisterTTRPCBenchServiceService(server, ttrpcService{})
	return server.Serve(context.Background(), listener)
}

func measureTTRPC(b *bench) error {
	folder, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "s")
	end, err := startListening("ttrpc", path)
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		err = ttrpcRPC(benchv1.NewTTRPCBenchServiceClient(ttrpc.NewClient(conn))).measure(b)
	}
	return errors.Join(err, end())
}

func ttrpcRPC(client benchv1.TTRPCBenchServiceClient) rpc {
	return rpc{
		echo: client.Echo,
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
