package main

import (
	"fmt"
	"log"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"plugmux.dev/bench/lines/store"
)

func main() {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: store.Handshake,
		Plugins:         plugin.PluginSet{"store": store.Plugin{}},
		Cmd:             exec.Command("./bin/plugin"),
		Logger:          hclog.NewNullLogger(),
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		log.Panic(err)
	}
	raw, err := protocol.Dispense("store")
	if err != nil {
		log.Panic(err)
	}
	kv := raw.(store.Store)
	if err := kv.Put("a", "1"); err != nil {
		log.Panic(err)
	}
	value, err := kv.Get("a")
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(value)
}
