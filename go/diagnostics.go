package plugmux

import (
	"context"
	"runtime"

	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
)

const longestDump = 256 * 1024

// diagnosticsService tells a runtime what the plugin is doing. When a Go program is too far gone for that, SIGQUIT makes
// it print the same and end, which is Go's own doing.
type diagnosticsService struct{}

// Dump gives the stacks of all goroutines.
func (diagnosticsService) Dump(context.Context, *plugmuxv1.DumpRequest) (*plugmuxv1.DumpResponse, error) {
	stacks := make([]byte, longestDump)
	return &plugmuxv1.DumpResponse{Text: string(stacks[:runtime.Stack(stacks, true)])}, nil
}
