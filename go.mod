module plugmux.dev

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/hashicorp/yamux v0.1.2
	google.golang.org/protobuf v1.36.12
)

require golang.org/x/sys v0.40.0

require connectrpc.com/grpcreflect v1.3.1
