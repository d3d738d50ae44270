module plugmux.dev/tests/interop/docker

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/hashicorp/yamux v0.1.2
	google.golang.org/protobuf v1.36.12
)
