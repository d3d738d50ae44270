package store

import (
	"net/rpc"

	"github.com/hashicorp/go-plugin"
)

var Handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "KV_PLUGIN", MagicCookieValue: "kv"}

type Store interface {
	Put(key, value string) error
	Get(key string) (string, error)
}

type PutArgs struct{ Key, Value string }

type Client struct{ client *rpc.Client }

func (c Client) Put(key, value string) error {
	return c.client.Call("Plugin.Put", PutArgs{key, value}, new(struct{}))
}

func (c Client) Get(key string) (value string, err error) {
	err = c.client.Call("Plugin.Get", key, &value)
	return value, err
}

type Server struct{ Impl Store }

func (s Server) Put(args PutArgs, _ *struct{}) error { return s.Impl.Put(args.Key, args.Value) }

func (s Server) Get(key string, value *string) (err error) {
	*value, err = s.Impl.Get(key)
	return err
}

type Plugin struct{ Impl Store }

func (p Plugin) Server(*plugin.MuxBroker) (any, error) { return Server{p.Impl}, nil }

func (Plugin) Client(_ *plugin.MuxBroker, client *rpc.Client) (any, error) { return Client{client}, nil }
