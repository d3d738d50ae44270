// Package echo is the benchmark's service for Connect.
package echo

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	benchv1 "plugmux.dev/bench/peers/gen/bench/v1"
	"plugmux.dev/bench/peers/gen/bench/v1/benchv1connect"
)

// NewHandler gives the path to mount the service on, and the service.
func NewHandler() (string, http.Handler) {
	return benchv1connect.NewBenchServiceHandler(service{})
}

type service struct{}

func (service) Echo(_ context.Context, request *benchv1.EchoRequest) (*benchv1.EchoResponse, error) {
	return &benchv1.EchoResponse{Payload: request.GetPayload()}, nil
}

func (service) Download(_ context.Context, request *benchv1.DownloadRequest, stream *connect.ServerStream[benchv1.Chunk]) error {
	chunk := &benchv1.Chunk{Payload: make([]byte, request.GetSize())}
	for range request.GetCount() {
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (service) Upload(_ context.Context, stream *connect.ClientStream[benchv1.Chunk]) (*benchv1.UploadResponse, error) {
	response := &benchv1.UploadResponse{}
	for stream.Receive() {
		response.Count++
		response.Bytes += uint64(len(stream.Msg().GetPayload()))
	}
	return response, stream.Err()
}
