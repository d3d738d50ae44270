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
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, "s"), Net: "unix"})
	if err != nil {
		return err
	}
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	process, err := startProcess("ttrpc", file)
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", listener.Addr().String())
	if err == nil {
		err = b.rpc(ttrpcCaller{benchv1.NewTTRPCBenchServiceClient(ttrpc.NewClient(conn))})
	}
	err = errors.Join(err, process.Process.Kill())
	_ = process.Wait() // it was killed
	return err
}

type ttrpcCaller struct {
	client benchv1.TTRPCBenchServiceClient
}

func (c ttrpcCaller) echo(payload []byte) error {
	response, err := c.client.Echo(context.Background(), &benchv1.EchoRequest{Payload: payload})
	if err != nil {
		return err
	}
	return whole(len(response.GetPayload()), len(payload))
}

func (c ttrpcCaller) download(count, size int) error {
	stream, err := c.client.Download(context.Background(), &benchv1.DownloadRequest{Count: uint32(count), Size: uint32(size)})
	if err != nil {
		return err
	}
	return receiveAll(stream.Recv, count, size)
}

func (c ttrpcCaller) upload(count, size int) error {
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
