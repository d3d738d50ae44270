package plugmux

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"connectrpc.com/connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
)

// Settings is a plugin's configuration as a value of its own type, there before the plugin serves. It is one of the
// servables of [Main]:
//
//	settings := &plugmux.Settings[Options]{Schema: schema, OnChange: apply}
//	plugmux.Main(config, settings.Servable(), plugmux.Service(...))
//
// T is what encoding/json reads the configuration into; a key that T has no field for is an error.
type Settings[T any] struct {
	// Schema is the JSON schema that a configuration must satisfy, which the runtime sees to; none by default.
	Schema string
	// Default is what a configuration begins as, before its keys are set.
	Default T
	// OnChange is called with a changed configuration while the plugin runs, before Get returns it. Its error refuses
	// the change. Where it is nil, a change restarts the plugin.
	OnChange func(T) error

	current atomic.Pointer[T]
}

// Get returns the configuration as it is now.
func (s *Settings[T]) Get() T {
	if value := s.current.Load(); value != nil {
		return *value
	}
	return s.Default
}

// Servable declares the configuration to the runtime, and takes it and its changes.
func (s *Settings[T]) Servable() Servable {
	return func(site *site) {
		site.announcement.Configuration = &pluginsv1.ConfigurationSchema{
			JsonSchema: s.Schema,
			Reloadable: s.OnChange != nil,
		}
		site.configure = func(text string) error { return s.take(text, nil) }
		site.serve(plugmuxv1connect.NewConfigurationServiceHandler(configurationService{
			func(text string) error { return s.take(text, s.OnChange) },
		}))
	}
}

func (s *Settings[T]) take(text string, onChange func(T) error) error {
	value, err := decode(text, s.Default)
	if err != nil {
		return err
	}
	if onChange != nil {
		if err := onChange(value); err != nil {
			return fmt.Errorf("the plugin has refused it: %w", err)
		}
	}
	s.current.Store(&value)
	return nil
}

// decode reads a configuration: JSON, of which none counts as {}.
func decode[T any](text string, value T) (T, error) {
	if text == "" {
		text = "{}"
	}
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		return value, fmt.Errorf("the configuration cannot be used: %w", err)
	}
	return value, nil
}

// configurationService takes changes of the configuration while the plugin runs.
type configurationService struct{ change func(string) error }

// Configure answers when the configuration is in effect.
func (s configurationService) Configure(_ context.Context, request *plugmuxv1.ConfigureRequest) (*plugmuxv1.ConfigureResponse, error) {
	if err := s.change(request.GetConfigurationJson()); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return &plugmuxv1.ConfigureResponse{}, nil
}
