package plugmux

import (
	"io"
	"net/http"
	"strings"

	"plugmux.dev/gen/go/accesscontrol/v1/accesscontrolv1connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
)

// Servable is something that a plugin serves. [Service], [Secrets], [AccessControl], [RawStream], [Handler] and
// others make them. Two that claim the same path make [Run] panic, as in [http.ServeMux].
type Servable func(*site)

// site is all that a plugin serves, and how it is announced.
type site struct {
	mux          *http.ServeMux
	streams      map[string]StreamHandler
	announcement *pluginsv1.RegisterPluginRequest
	configure    func(string) error // takes the configuration that comes with the registration
	cleanUp      []func()           // behind an object that is lent
}

func newSite(announcement *pluginsv1.RegisterPluginRequest, servables []Servable) *site {
	s := &site{mux: http.NewServeMux(), streams: map[string]StreamHandler{}, announcement: announcement}
	s.mux.HandleFunc(healthPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	s.mux.HandleFunc("GET "+streamPrefix+"{name}", s.serveStream)
	s.add(servables)
	return s
}

// serve serves a service whose messages are bounded.
func (s *site) serve(path string, service http.Handler) { s.mux.Handle(path, limitMessages(service)) }

func (s *site) add(servables []Servable) {
	for _, servable := range servables {
		servable(s)
	}
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Service serves a Connect service, and announces it to the runtime by its full name. It takes what a generated
// New...Handler function returns.
func Service(path string, handler http.Handler) Servable {
	return func(s *site) {
		s.serve(path, handler)
		s.announcement.Services = append(s.announcement.Services, strings.Trim(path, "/"))
	}
}

// AccessControl makes the plugin one that decides who may ask for which secrets. A plugin is this or a secrets
// provider, not both.
func AccessControl(service accesscontrolv1connect.AccessControlServiceHandler) Servable {
	return func(s *site) {
		s.serve(accesscontrolv1connect.NewAccessControlServiceHandler(service))
		s.announcement.Metadata = &pluginsv1.RegisterPluginRequest_AccessControlModule{
			AccessControlModule: &pluginsv1.AccessControlModule{},
		}
	}
}

// Handler serves plain HTTP under a pattern of [http.ServeMux]. It is not announced.
func Handler(pattern string, handler http.Handler) Servable {
	return func(s *site) { s.mux.Handle(pattern, handler) }
}
