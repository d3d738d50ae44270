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

// Instances let one plugin serve any number of objects, each with a configuration of its own. It is one of the servables
// of [Main]:
//
//	regions := &plugmux.Instances[Settings]{Services: []string{cloudv1connect.StorageServiceName}, Open: openRegion}
//	plugmux.Main(config, regions.Servable())
//
// T is what encoding/json reads a configuration into; a key that T has no field for is an error.
type Instances[T any] struct {
	// Services are the full names of the services that every instance serves.
	Services []string
	// Schema is the JSON schema that a configuration must satisfy, which the runtime sees to; none by default.
	Schema string
	// Default is what a configuration begins as, before its keys are set.
	Default T
	// Open makes an instance. Its context ends when the instance does, or when the caller has no time left for Open.
	// [OnRelease] among the servables cleans up. An error refuses the configuration, unless it is a [connect.Error].
	Open func(ctx context.Context, config T) ([]Servable, error)
	// Limit is how many may be open at the same time; 10,000 by default.
	Limit int

	count atomic.Int64
}

// Servable announces the instances to the runtime, and opens them.
func (i *Instances[T]) Servable() Servable {
	return func(s *site) {
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
	config, err := decode(text, i.Default)
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
			fmt.Errorf("%d instances are open, and no more may be: release some, or raise Instances.Limit", limit))
	}
	life, end := context.WithCancel(link.ctx)
	ended := OnRelease(sync.OnceFunc(func() { end(); i.count.Add(-1) }))
	object, reference := newSite(&pluginsv1.RegisterPluginRequest{}, nil), ""
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
