module plugmux.dev/tests/interop/go

go 1.26.0

replace plugmux.dev => ../../..

require (
	connectrpc.com/connect v1.21.1
	google.golang.org/protobuf v1.36.12
	plugmux.dev v0.0.0-00010101000000-000000000000
)

require (
	connectrpc.com/grpcreflect v1.3.1 // indirect
	github.com/hashicorp/yamux v0.1.2 // indirect
	golang.org/x/sys v0.40.0 // indirect
)
