package plugmux

import (
	"container/list"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"plugmux.dev/go/internal/remote"
)

const (
	hijackAccepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: " + hijackScheme + "\r\n\r\n"
	listenIdle     = time.Minute
	maxRemoteLinks = 256
	maxUnlinked    = 1024
)

// serveListening lets runtimes connect, one link each, until the context ends.
func (p *plugin) serveListening(ctx context.Context, text string) error {
	address, err := remote.ParseAddress(text)
	if err != nil {
		return addressError{text, err.Error()}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n, err := p.openNetwork(ctx)
	if err != nil {
		return err
	}
	log := p.linkLog()
	listener, err := remote.Listen(address, n.credentials, log)
	if err != nil {
		return err
	}
	entrance := &entrance{
		plugin:   p,
		ctx:      ctx,
		runtimes: n.runtimes,
		slots:    make(chan struct{}, maxRemoteLinks),
		told:     remote.Floods{Log: log},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+hijackPath, entrance.hijack)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: remoteDialTimeout,
		WriteTimeout:      remoteDialTimeout,
		IdleTimeout:       listenIdle,
		MaxHeaderBytes:    maxRequestHeaderBytes,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, remoteConnKey{}, conn)
		},
		ConnState: newUnlinked(maxUnlinked).follow,
		ErrorLog:  slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("listening for runtimes", "address", listener.Address().String())
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	cancel()
	_ = server.Close()
	_ = listener.Close()
	entrance.links.Wait()
	return err
}

type remoteConnKey struct{}

// unlinked bounds the connections that are no links: one more ends the oldest, so that those which are opened and left
// keep nobody out.
type unlinked struct {
	most     int
	lock     sync.Mutex
	oldest   *list.List // of net.Conn
	elements map[net.Conn]*list.Element
}

func newUnlinked(most int) *unlinked {
	return &unlinked{most: most, oldest: list.New(), elements: make(map[net.Conn]*list.Element)}
}

// follow is told of each change of a connection's state.
func (u *unlinked) follow(conn net.Conn, state http.ConnState) {
	u.lock.Lock()
	defer u.lock.Unlock()
	switch state {
	case http.StateNew:
		u.elements[conn] = u.oldest.PushBack(conn)
		if u.oldest.Len() > u.most {
			first := u.oldest.Front().Value.(net.Conn)
			u.forget(first)
			go func() { _ = first.Close() }() // It waits a while for a peer that takes no alert.
		}
	case http.StateHijacked, http.StateClosed:
		u.forget(conn)
	}
}

func (u *unlinked) forget(conn net.Conn) {
	if element, ok := u.elements[conn]; ok {
		u.oldest.Remove(element)
		delete(u.elements, conn)
	}
}

// entrance admits the runtimes that connect.
type entrance struct {
	plugin   *plugin
	ctx      context.Context
	runtimes remote.Runtimes
	slots    chan struct{}
	links    sync.WaitGroup
	told     remote.Floods
}

func (e *entrance) hijack(w http.ResponseWriter, r *http.Request) {
	if err := e.check(r); err != nil {
		e.told.Warn("a runtime was refused", r.RemoteAddr, err)
		http.Error(w, r.RemoteAddr+": "+err.Error(), http.StatusForbidden)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), hijackScheme) {
		w.Header().Set("Upgrade", hijackScheme)
		http.Error(w, "a link begins with Upgrade: "+hijackScheme, http.StatusUpgradeRequired)
		return
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		http.Error(w, fmt.Sprintf("this plugin has %d links already", maxRemoteLinks), http.StatusServiceUnavailable)
		return
	}
	e.links.Add(1)
	defer e.links.Done()
	conn, err := takeOver(w, hijackAccepted)
	if err != nil {
		return // the runtime has closed the connection
	}
	link := newRemoteLink(e.ctx, conn, e.plugin.handler, e.plugin.config.Limits)
	if err := e.plugin.serveOnce(e.ctx, link, registrationTimeout); err != nil {
		e.told.Warn("a runtime has connected and did not register the plugin", r.RemoteAddr, err)
	}
}

// check fails if the other end is no runtime that the plugin accepts.
func (e *entrance) check(r *http.Request) error {
	conn, secure := r.Context().Value(remoteConnKey{}).(remote.Conn)
	if !secure {
		return nil // tcp://, which is for this machine alone, or for tests
	}
	_, err := e.runtimes.Check(conn.Certificate, "")
	return err
}
