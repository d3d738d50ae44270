// Command plugin is the benchmark's service as a plugin, on our Go SDK.
package main

import (
	"plugmux.dev/bench/peers/echo"
	plugmux "plugmux.dev/go"
)

func main() {
	plugmux.Main(plugmux.Config{Version: "v1.0.0"}, plugmux.Service(echo.NewHandler()))
}
