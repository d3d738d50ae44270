package plugmux

import (
	"slices"

	"connectrpc.com/grpcreflect"
)

// serveReflection tells callers what the plugin's services look like, by gRPC's server reflection (v1), unless the plugin
// serves that itself.
func (s *site) serveReflection() {
	if slices.Contains(s.announcement.Services, grpcreflect.ReflectV1ServiceName) {
		return
	}
	names := append(slices.Clone(s.announcement.Services), grpcreflect.ReflectV1ServiceName)
	s.serve(grpcreflect.NewHandlerV1(grpcreflect.NewStaticReflector(names...)))
}
