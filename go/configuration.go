package plugmux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
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
	value, err := decode(text, clone(s.Default))
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

// decode decodes a configuration in JSON into a value, whose maps and slices it changes; no text means {}. The error does not
// repeat a value of the configuration, which may be secret.
func decode[T any](text string, value T) (T, error) {
	if text == "" {
		text = "{}"
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&value)
	if _, more := decoder.Token(); err == nil && more != io.EOF {
		err = errors.New("text follows its JSON")
	}
	if mistyped := (*json.UnmarshalTypeError)(nil); errors.As(err, &mistyped) {
		kind, _, _ := strings.Cut(mistyped.Value, " ") // "number", with its digits where it is out of range
		err = fmt.Errorf("its %q is a %s that does not fit the type %v", mistyped.Field, kind, mistyped.Type)
	}
	if err != nil {
		return value, fmt.Errorf("the configuration cannot be used: %w", err)
	}
	return value, nil
}

// clone copies a value with the maps, slices and pointers in it, as far as encoding/json writes there: into exported fields.
func clone[T any](value T) T {
	cloneInto(reflect.ValueOf(&value).Elem())
	return value
}

func cloneInto(value reflect.Value) {
	if !value.CanSet() {
		return
	}
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			cloneInto(value.Field(i))
		}
	case reflect.Array:
		for i := range value.Len() {
			cloneInto(value.Index(i))
		}
	case reflect.Slice:
		if !value.IsNil() {
			copied := reflect.MakeSlice(value.Type(), value.Len(), value.Len())
			reflect.Copy(copied, value)
			for i := range copied.Len() {
				cloneInto(copied.Index(i))
			}
			value.Set(copied)
		}
	case reflect.Map:
		if !value.IsNil() {
			copied := reflect.MakeMapWithSize(value.Type(), value.Len())
			for entries := value.MapRange(); entries.Next(); {
				copied.SetMapIndex(entries.Key(), cloneOf(entries.Value()))
			}
			value.Set(copied)
		}
	case reflect.Pointer:
		if !value.IsNil() {
			copied := reflect.New(value.Type().Elem())
			copied.Elem().Set(cloneOf(value.Elem()))
			value.Set(copied)
		}
	case reflect.Interface:
		if !value.IsNil() {
			value.Set(cloneOf(value.Elem()))
		}
	}
}

func cloneOf(value reflect.Value) reflect.Value {
	copied := reflect.New(value.Type()).Elem()
	copied.Set(value)
	cloneInto(copied)
	return copied
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
