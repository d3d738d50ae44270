// A cloud as a plugin in Go: one process, and an instance for every region that the host asks for.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"connectrpc.com/connect"
	cloudv1 "plugmux.dev/examples/gen/go/cloud/v1"
	"plugmux.dev/examples/gen/go/cloud/v1/cloudv1connect"
	plugmux "plugmux.dev/go"
)

// settings is the configuration of a region: its name, and how many bytes it keeps.
type settings struct {
	Region string `json:"region"`
	Quota  int    `json:"quota"`
}

const schema = `{
	"type": "object",
	"properties": {"region": {"type": "string"}, "quota": {"type": "integer"}},
	"required": ["region"],
	"additionalProperties": false
}`

// region is an instance. It knows nothing of the others.
type region struct {
	settings settings
	lock     sync.Mutex
	files    map[string][]byte
	size     int
}

func openRegion(_ context.Context, config settings) ([]plugmux.Servable, error) {
	if config.Region == "" {
		return nil, errors.New("region must not be empty")
	}
	r := &region{settings: config, files: map[string][]byte{}}
	return []plugmux.Servable{plugmux.Service(cloudv1connect.NewStorageServiceHandler(r))}, nil
}

func (r *region) Upload(ctx context.Context, request *cloudv1.UploadRequest) (*cloudv1.UploadResponse, error) {
	if err := r.keep(request.Name, request.Content); err != nil {
		return nil, err
	}
	if request.Progress != "" {
		progress := cloudv1connect.NewProgressServiceClient(plugmux.Host, plugmux.At(request.Progress))
		for _, percent := range []uint32{0, 50, 100} {
			if _, err := progress.Report(ctx, &cloudv1.ReportRequest{Percent: percent}); err != nil {
				return nil, err
			}
		}
	}
	return &cloudv1.UploadResponse{Address: r.settings.Region + "/" + request.Name}, nil
}

func (r *region) Open(ctx context.Context, request *cloudv1.OpenRequest) (*cloudv1.OpenResponse, error) {
	content, err := r.content(request.Name)
	if err != nil {
		return nil, err
	}
	reference, err := plugmux.Lend(ctx, plugmux.Service(cloudv1connect.NewFileServiceHandler(file(content))))
	return &cloudv1.OpenResponse{File: reference}, err
}

func (r *region) Copy(ctx context.Context, request *cloudv1.CopyRequest) (*cloudv1.CopyResponse, error) {
	content, err := r.content(request.Name)
	if err != nil {
		return nil, err
	}
	other := cloudv1connect.NewStorageServiceClient(plugmux.Host, plugmux.At(request.To))
	kept, err := other.Upload(ctx, &cloudv1.UploadRequest{Name: request.Name, Content: content})
	return &cloudv1.CopyResponse{Address: kept.GetAddress()}, err
}

func (r *region) keep(name string, content []byte) error {
	r.lock.Lock()
	defer r.lock.Unlock()
	size := r.size - len(r.files[name]) + len(content)
	if size > r.settings.Quota {
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the quota of %d bytes is used up", r.settings.Quota))
	}
	r.files[name], r.size = content, size
	return nil
}

func (r *region) content(name string) ([]byte, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	content, ok := r.files[name]
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("region %s has no file %q", r.settings.Region, name))
	}
	return content, nil
}

// file is one file, lent to the caller that opened it.
type file []byte

func (f file) Read(context.Context, *cloudv1.ReadRequest) (*cloudv1.ReadResponse, error) {
	return &cloudv1.ReadResponse{Content: f}, nil
}

func main() {
	regions := &plugmux.Instances[settings]{
		Services: []string{cloudv1connect.StorageServiceName},
		Schema:   schema,
		Default:  settings{Quota: 1 << 20},
		Open:     openRegion,
	}
	plugmux.Main(plugmux.Config{Version: "v1.0.0"}, regions.Servable())
}
