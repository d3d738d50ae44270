package plugmux

import (
	"net/http"

	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
)

const healthPath = "/health"

// gate holds requests back until the plugin has registered, so that a service never sees a call that the runtime's
// answer to the registration has not preceded. The registration's own time limit ends the wait.
type gate struct {
	resolved chan struct{}
	response *pluginsv1.RegisterPluginResponse
	err      error
}

func newGate() gate { return gate{resolved: make(chan struct{})} }

// resolve lets everything through that waits, or turns it away; it must be called once.
func (g *gate) resolve(response *pluginsv1.RegisterPluginResponse, err error) {
	g.response, g.err = response, err
	close(g.resolved)
}

// guard puts the gate in front of a handler. Questions after the plugin's health, and the wish that it end, pass.
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
