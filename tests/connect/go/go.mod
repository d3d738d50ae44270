module plugmux.dev/tests/connect

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	plugmux.dev v0.0.0
)

require google.golang.org/protobuf v1.36.12 // indirect

replace plugmux.dev => ../../..
