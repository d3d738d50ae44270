package main

import (
	"context"
	"io"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
)

// Paths of the RPCs.
const (
	registerPlugin = "/plugins.v1.RegisterService/RegisterPlugin"
	shutdown       = "/plugins.v1.PluginService/Shutdown"
	listPlugins    = "/plugins.v1.PluginManagementService/ListPlugins"
	enablePlugin   = "/plugins.v1.PluginManagementService/EnablePlugin"
	disablePlugin  = "/plugins.v1.PluginManagementService/DisablePlugin"
	getSecrets     = "/resolver.v1.ResolverService/GetSecrets"
	authorize      = "/resolver.v1.AuthorizerService/Authorize"
	getVersion     = "/health.v1.VersionService/GetVersion"
	checkAccess    = "/accesscontrol.v1.AccessControlService/CheckAccess"
	authorizeAhead = "/accesscontrol.v1.AccessControlService/Authorize"
)

// A link carries HTTP both ways over one yamux session.
type link struct {
	session *yamux.Session
	client  *http.Client
}

// newLink begins to serve on a connection. The plugin is always the yamux client.
func newLink(conn io.ReadWriteCloser, isPlugin bool, handler http.Handler) (*link, error) {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	start := yamux.Server
	if isPlugin {
		start = yamux.Client
	}
	session, err := start(conn, config)
	if err != nil {
		return nil, err
	}
	go (&http.Server{Handler: handler}).Serve(session)
	dial := func(context.Context, string, string) (net.Conn, error) { return session.Open() }
	return &link{session, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}, nil
}

// unixClient sends requests to a socket.
func unixClient(path string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// call makes a unary call.
func call[Req, Res any](ctx context.Context, client *http.Client, path string, request *Req) (*Res, error) {
	response, err := connect.NewClient[Req, Res](client, "http://unix"+path).CallUnary(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// handle serves a unary call.
func handle[Req, Res any](mux *http.ServeMux, path string, serve func(context.Context, *Req) (*Res, error)) {
	mux.Handle(path, connect.NewUnaryHandler(path, func(ctx context.Context, r *connect.Request[Req]) (*connect.Response[Res], error) {
		response, err := serve(ctx, r.Msg)
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(response), nil
	}))
}

// newMux answers /health, as both ends of a link and the engine's socket do.
func newMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	return mux
}
