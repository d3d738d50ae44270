package main

import (
	"errors"

	"github.com/hashicorp/go-plugin"
	"plugmux.dev/bench/lines/store"
)

type values map[string]string

func (v values) Put(key, value string) error {
	v[key] = value
	return nil
}

func (v values) Get(key string) (string, error) {
	if value, known := v[key]; known {
		return value, nil
	}
	return "", errors.New("no such key")
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: store.Handshake,
		Plugins:         plugin.PluginSet{"store": store.Plugin{Impl: values{}}},
	})
}
