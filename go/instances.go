package plugmux

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
)

// Instances lets one plugin serve many objects, each with its own configuration. Pass it to [Main]:
//
//	regions := &plugmux.Instances[Settings]{Services: []string{cloudv1connect.StorageServiceName}, Open: openRegion}
//	plugmux.Main(config, regions.Servable())
//
// encoding/json decodes a configuration into T; a key for which T has no field is an error.
type Instances[T any] struct {
	// Services lists the full names of the services that every instance serves.
	Services []string
	// Schema is a JSON schema against which the runtime validates configurations; none by default.
	Schema string
	// Default holds the values of keys that a configuration leaves out.
	Default T
	// Open makes an instance: what it returns is what the instance serves. The context ends when the instance is released,
	// or while Open runs when the caller's deadline passes. Return [OnRelease] among the servables to clean up. The caller
	// gets an error as invalid_argument, and a [connect.Error] as it is.
	Open func(ctx context.Context, config T) ([]Servable, error)
	// Limit is how many instances may be open at the same time; 10,000 by default. A further one fails with
	// resource_exhausted.
	Limit int

	count atomic.Int64
}

// Servable registers the kind of instances with the runtime, and opens instances when the runtime asks for them.
func (i *Instances[T]) Servable() Servable {
	return func(s *linkApp) {
		s.announcement.Instances = &pluginsv1.InstanceKind{
			Services:      i.Services,
			Configuration: &pluginsv1.ConfigurationSchema{JsonSchema: i.Schema},
		}
		s.serve(plugmuxv1connect.NewInstanceServiceHandler(instanceService{i.open}))
	}
}

func (i *Instances[T]) open(ctx context.Context, text string) (string, error) {
	link, err := linkOf(ctx)
	if err != nil {
		return "", err
	}
	config, err := decode(text, clone(i.Default))
	if err != nil {
		return "", connect.NewError(connect.CodeInvalidArgument, err)
	}
	limit := i.Limit
	if limit == 0 {
		limit = maxInstances
	}
	if i.count.Add(1) > int64(limit) {
		i.count.Add(-1)
		return "", connect.NewError(connect.CodeResourceExhausted,
			fmt.Errorf("%d instances are open, the limit: release some, or raise Instances.Limit", limit))
	}
	life, end := context.WithCancel(link.ctx)
	ended := OnRelease(sync.OnceFunc(func() { end(); i.count.Add(-1) }))
	object, reference := newLinkApp(&pluginsv1.RegisterPluginRequest{}, nil), ""
	defer func() {
		if reference == "" { // Open may have panicked
			object.add([]Servable{ended})
			object.release()
		}
	}()
	inTime := context.AfterFunc(ctx, end)
	servables, err := i.Open(life, config)
	if !inTime() && err == nil {
		err = context.Cause(ctx)
	}
	object.add(servables)
	if err == nil {
		object.add([]Servable{ended})
		reference, err = link.references.lend(object)
	}
	if refusal := (*connect.Error)(nil); err != nil && !errors.As(err, &refusal) {
		err = connect.NewError(connect.CodeInvalidArgument, err)
	}
	return reference, err
}

// instanceService opens instances.
type instanceService struct {
	open func(context.Context, string) (string, error)
}

func (s instanceService) Open(ctx context.Context, request *plugmuxv1.OpenRequest) (*plugmuxv1.OpenResponse, error) {
	reference, err := s.open(ctx, request.GetConfigurationJson())
	return &plugmuxv1.OpenResponse{Reference: reference}, err
}
