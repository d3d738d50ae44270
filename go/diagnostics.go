package plugmux

import (
	"context"
	"runtime"

	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
)

const maxDumpBytes = 256 * 1024

// diagnosticsService tells the runtime what the plugin is doing. A plugin that does not answer prints the same stacks on
// SIGQUIT, and ends: Go does that by itself.
type diagnosticsService struct{}

// Dump returns the stacks of all goroutines, cut off at 256 KiB.
func (diagnosticsService) Dump(context.Context, *plugmuxv1.DumpRequest) (*plugmuxv1.DumpResponse, error) {
	stacks := make([]byte, maxDumpBytes)
	return &plugmuxv1.DumpResponse{Text: string(stacks[:runtime.Stack(stacks, true)])}, nil
}
