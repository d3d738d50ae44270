package plugmux

import (
	"io"
	"net/http"
	"strings"

	"plugmux.dev/gen/go/accesscontrol/v1/accesscontrolv1connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
)

// Servable is one thing that a plugin serves. [Service], [Secrets], [AccessControl], [RawStream], [Handler], [OnRelease],
// [Settings.Servable] and [Instances.Servable] make one. [Run] panics if two of them have the same path, as
// [http.ServeMux.Handle] does.
type Servable func(*linkApp)

// linkApp is the HTTP handler of everything that a plugin, or an object that it lends, serves.
type linkApp struct {
	mux          *http.ServeMux
	streams      map[string]StreamHandler
	announcement *pluginsv1.RegisterPluginRequest
	configure    func(string) error // called with the configuration in the answer to the registration
	cleanUp      []func()           // called when the lent object is released
}

func newLinkApp(announcement *pluginsv1.RegisterPluginRequest, servables []Servable) *linkApp {
	s := &linkApp{mux: http.NewServeMux(), streams: map[string]StreamHandler{}, announcement: announcement}
	s.mux.HandleFunc(healthPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	s.mux.HandleFunc("GET "+streamPrefix+"{name}", s.serveStream)
	s.add(servables)
	return s
}

// serve serves a service and limits the size of its messages.
func (s *linkApp) serve(path string, service http.Handler) {
	s.mux.Handle(path, limitMessages(service))
}

func (s *linkApp) add(servables []Servable) {
	for _, servable := range servables {
		servable(s)
	}
}

func (s *linkApp) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Service serves a Connect service and registers its full name with the runtime. Its arguments are the results of a
// generated New...Handler function.
func Service(path string, handler http.Handler) Servable {
	return func(s *linkApp) {
		s.serve(path, handler)
		s.announcement.Services = append(s.announcement.Services, strings.Trim(path, "/"))
	}
}

// AccessControl makes the plugin an access-control module, which decides who may read which secrets. A plugin is either an
// access-control module or a secrets provider.
func AccessControl(service accesscontrolv1connect.AccessControlServiceHandler) Servable {
	return func(s *linkApp) {
		s.serve(accesscontrolv1connect.NewAccessControlServiceHandler(service))
		s.announcement.Metadata = &pluginsv1.RegisterPluginRequest_AccessControlModule{
			AccessControlModule: &pluginsv1.AccessControlModule{},
		}
	}
}

// Handler serves plain HTTP requests whose method and path match a pattern of [http.ServeMux]. The runtime is not told of
// it, and the size of bodies is not limited.
func Handler(pattern string, handler http.Handler) Servable {
	return func(s *linkApp) { s.mux.Handle(pattern, handler) }
}
