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

// Settings holds a plugin's configuration as a value of type T. It is set before the plugin's first call. Pass it to [Main]:
//
//	settings := &plugmux.Settings[Options]{Schema: schema, OnChange: apply}
//	plugmux.Main(config, settings.Servable(), plugmux.Service(...))
//
// encoding/json decodes the configuration into T; a key for which T has no field is an error.
type Settings[T any] struct {
	// Schema is a JSON schema against which the runtime validates configurations; none by default.
	Schema string
	// Default holds the values of keys that a configuration leaves out.
	Default T
	// OnChange is called when the configuration changes while the plugin runs, before Get returns the new one. An error
	// rejects the change. If OnChange is nil, a change restarts the plugin.
	OnChange func(T) error

	current atomic.Pointer[T]
}

// Get returns the present configuration, and Default before the plugin has registered.
func (s *Settings[T]) Get() T {
	if value := s.current.Load(); value != nil {
		return *value
	}
	return s.Default
}

// Servable registers the schema with the runtime and receives the configuration and its changes.
func (s *Settings[T]) Servable() Servable {
	return func(linkApp *linkApp) {
		linkApp.announcement.Configuration = &pluginsv1.ConfigurationSchema{
			JsonSchema: s.Schema,
			Reloadable: s.OnChange != nil,
		}
		linkApp.configure = func(text string) error { return s.take(text, nil) }
		linkApp.serve(plugmuxv1connect.NewConfigurationServiceHandler(configurationService{
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
			return fmt.Errorf("the plugin rejects the configuration: %w", err)
		}
	}
	s.current.Store(&value)
	return nil
}

// decode decodes a configuration in JSON; no text means {}.
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

// configurationService receives changes of the configuration while the plugin runs.
type configurationService struct{ change func(string) error }

// Configure returns when the new configuration is in effect.
func (s configurationService) Configure(_ context.Context, request *plugmuxv1.ConfigureRequest) (*plugmuxv1.ConfigureResponse, error) {
	if err := s.change(request.GetConfigurationJson()); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return &plugmuxv1.ConfigureResponse{}, nil
}
