package plugmux

import (
	"slices"

	"connectrpc.com/grpcreflect"
)

// serveReflection describes the plugin's services by gRPC's server reflection (v1), unless the plugin serves it itself.
func (s *linkApp) serveReflection() {
	if slices.Contains(s.announcement.Services, grpcreflect.ReflectV1ServiceName) {
		return
	}
	names := append(slices.Clone(s.announcement.Services), grpcreflect.ReflectV1ServiceName)
	s.serve(grpcreflect.NewHandlerV1(grpcreflect.NewStaticReflector(names...)))
}
