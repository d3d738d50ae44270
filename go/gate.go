package plugmux

import (
	"net/http"

	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
)

const healthPath = "/health"

// gate delays requests until the registration has been answered, so that no service is called before the plugin has its
// configuration. The registration's timeout bounds the wait.
type gate struct {
	resolved chan struct{}
	response *pluginsv1.RegisterPluginResponse
	err      error
}

func newGate() gate { return gate{resolved: make(chan struct{})} }

// resolve lets the waiting requests pass, or rejects them if there is an error. It must be called exactly once.
func (g *gate) resolve(response *pluginsv1.RegisterPluginResponse, err error) {
	g.response, g.err = response, err
	close(g.resolved)
}

// guard puts the gate in front of a handler. Health checks and Shutdown pass without waiting.
func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == healthPath || r.URL.Path == pluginsv1connect.PluginServiceShutdownProcedure {
			next.ServeHTTP(w, r)
			return
		}
		<-g.resolved
		if g.err != nil {
			http.Error(w, "the plugin is not registered", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}
