package plugmux

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"plugmux.dev/go/internal/remote"
)

const (
	listenVariable      = "PLUGMUX_LISTEN"
	certificateVariable = "PLUGMUX_TLS_CERT"
	keyVariable         = "PLUGMUX_TLS_KEY"
	caVariable          = "PLUGMUX_TLS_CA"
	directoryVariable   = "PLUGMUX_TLS_DIR"
	runtimesVariable    = "PLUGMUX_RUNTIME_IDENTITY"

	remoteDialTimeout = remote.ConnectTimeout
	maxRemoteRedial   = 30 * time.Second
	maxAway           = time.Minute      // how long the runtime that has started a plugin elsewhere may be away
	servedLong        = 10 * time.Second // a link that has served for so long has the next wait be the first again
	lookUpInterval    = 30 * time.Second // package net does not tell how long a record holds
	lookUpTimeout     = 5 * time.Second
	maxPlaces         = 256 // addresses of one name that are followed
)

// TLS says how a plugin shows who it is on a network, and whom it trusts. What is empty is taken from the environment:
// PLUGMUX_TLS_DIR, PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY, PLUGMUX_TLS_CA and PLUGMUX_RUNTIME_IDENTITY. Files are PEM; they are
// loaded anew when they change, and links that are open go on.
type TLS struct {
	// Directory has the files tls.crt, tls.key and ca.crt, as cert-manager names them.
	Directory string
	// Cert is the path of the certificate, followed by those of the CAs between it and one that peers trust.
	Cert string
	// Key is the path of the key of the certificate.
	Key string
	// CA is the path of the CAs that are trusted, one or more.
	CA string
	// Peers are patterns of the identities of runtimes that the plugin accepts, such as "spiffe://prod/*/runtime". By
	// default these are the identities whose name is "runtime" and, for a plugin that dials, certificates that cover the host
	// that it has dialled.
	Peers []string
	// Config is used in place of the files. It must have certificates and RootCAs; TLS 1.3 and the certificates of both ends
	// are demanded in any case.
	Config *tls.Config
}

// network is what the links of a plugin over networks share.
type network struct {
	credentials *remote.Credentials // nil if the plugin has none
	runtimes    remote.Runtimes
}

func (t TLS) network() (network, error) {
	var n network
	patterns := t.Peers
	if len(patterns) == 0 {
		patterns = strings.FieldsFunc(os.Getenv(runtimesVariable), func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, pattern := range patterns {
		pattern, err := remote.ParsePattern(pattern)
		if err != nil {
			return n, err
		}
		n.runtimes = append(n.runtimes, pattern)
	}
	var err error
	files := t.files()
	switch {
	case t.Config != nil:
		n.credentials, err = remote.FromConfig(t.Config)
	case files != remote.Files{}:
		n.credentials, err = remote.LoadFiles(files)
	}
	return n, err
}

func (t TLS) files() remote.Files {
	files := remote.Files{}
	if directory := cmp.Or(t.Directory, os.Getenv(directoryVariable)); directory != "" {
		files = remote.Directory(directory)
	}
	return remote.Files{
		Cert: cmp.Or(t.Cert, os.Getenv(certificateVariable), files.Cert),
		Key:  cmp.Or(t.Key, os.Getenv(keyVariable), files.Key),
		CA:   cmp.Or(t.CA, os.Getenv(caVariable), files.CA),
	}
}

// newProcessID returns random text: a link of the same process takes the place of the one before.
func newProcessID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// serveAddresses serves the runtimes at several addresses, one link each. It ends when the context does, or when the first
// connection to a unix socket fails.
func (p *plugin) serveAddresses(ctx context.Context, text string) error {
	var sockets []string
	var addresses []remote.Address
	for _, word := range strings.Split(text, ",") {
		word = strings.TrimSpace(word)
		if !remote.IsNetwork(word) {
			sockets = append(sockets, word)
			continue
		}
		address, err := remote.ParseAddress(word)
		if err != nil {
			return addressError{word, err.Error()}
		}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 && len(sockets) == 1 {
		return p.serveDialling(ctx, sockets[0])
	}
	n, err := p.openNetwork(ctx)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if address.IsSecure() && n.credentials == nil {
			return remote.NoCertificate(address)
		}
	}
	return p.serveAll(ctx, n, sockets, addresses)
}

// openNetwork prepares the plugin for links over networks, until the context ends.
func (p *plugin) openNetwork(ctx context.Context) (network, error) {
	n, err := p.config.TLS.network()
	if err == nil && n.credentials != nil {
		go n.credentials.Watch(ctx)
	}
	p.announcement.ProcessId = newProcessID()
	return n, err
}

func (p *plugin) serveAll(ctx context.Context, n network, sockets []string, addresses []remote.Address) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	failures := make(chan error, len(sockets)) // of which the first ends the plugin
	for _, socket := range sockets {
		running.Go(func() {
			if err := p.serveDialling(ctx, socket); err != nil {
				failures <- err
				cancel()
			}
		})
	}
	for _, address := range addresses {
		running.Go(func() { p.follow(ctx, n, address) })
	}
	running.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

// place is one address to dial.
type place struct {
	address  remote.Address
	hostName string // the name that the address was looked up from
}

// follow serves the runtimes at an address until the context ends: one, or as many as its name has.
func (p *plugin) follow(ctx context.Context, n network, address remote.Address) {
	if !address.IsLookedUp() {
		p.serveRemote(ctx, n, place{address, address.Host})
		return
	}
	running := map[place]context.CancelFunc{}
	var loops sync.WaitGroup
	defer loops.Wait()
	told := remote.Repeats{Log: p.linkLog()}
	for ctx.Err() == nil {
		found, err := lookUp(ctx, net.DefaultResolver, address)
		interval := lookUpInterval
		if err != nil {
			if ctx.Err() == nil {
				told.Warn("the runtimes could not be looked up; what was found before stands", err)
			}
			if len(running) == 0 {
				interval = time.Second
			}
		} else {
			for at, leave := range running {
				if !found[at] {
					leave()
					delete(running, at)
				}
			}
			for at := range found {
				if running[at] == nil && len(running) < maxPlaces {
					var still context.Context
					still, running[at] = context.WithCancel(ctx)
					loops.Go(func() { p.serveRemote(still, n, at) })
				}
			}
		}
		pause(ctx, interval)
	}
	for _, leave := range running {
		leave()
	}
}

// A resolver tells what a name stands for, as net.Resolver does.
type resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// lookUp returns the places of a name.
func lookUp(ctx context.Context, names resolver, address remote.Address) (map[place]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	hosts := map[string][]int{address.Host: {address.Port}}
	if address.Scheme == "tls+srv" {
		_, records, err := names.LookupSRV(ctx, "", "", address.Host)
		if err != nil {
			return nil, err
		}
		hosts = map[string][]int{}
		for _, record := range records {
			if target := strings.TrimSuffix(record.Target, "."); target != "" { // "." is no service (RFC 2782)
				hosts[target] = append(hosts[target], int(record.Port))
			}
		}
	}
	found := map[place]bool{}
	var missing *net.DNSError
	for host, ports := range hosts {
		ips, err := names.LookupNetIP(ctx, "ip", host)
		if errors.As(err, &missing) && missing.IsNotFound {
			continue // its machine has gone, and the record has not yet; the others stand
		}
		if err != nil {
			return nil, err
		}
		for _, ip := range ips {
			for _, port := range ports {
				found[place{remote.Address{Scheme: "tls", Host: ip.Unmap().String(), Port: port}, address.ServerName()}] = true
			}
		}
	}
	if len(found) == 0 && missing != nil {
		return nil, missing
	}
	return found, nil
}

// serveRemote serves the runtime at a place until the context ends. It never gives up: the runtime may start later, and a
// network may fail for a while.
func (p *plugin) serveRemote(ctx context.Context, n network, at place) {
	told := remote.Repeats{Log: p.linkLog()}
	for delay := firstRedial; ctx.Err() == nil; delay = min(2*delay, maxRemoteRedial) {
		conn, err := n.dial(ctx, at)
		began, ended := time.Now(), ""
		if err == nil {
			link := newRemoteLink(ctx, conn, p.handler, p.config.Limits)
			if err = p.serveOnce(ctx, link, registrationTimeout); err == nil {
				ended = link.reason()
				p.runtimes.awaitSuccessor(ctx, link)
			}
			if time.Since(began) >= servedLong {
				delay = firstRedial
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			told.Warn("the runtime is not reached; trying again", err)
		} else {
			told.Log.Info("the link to the runtime has ended; connecting again", "address", at.address.String(), "reason", ended)
		}
		// Jitter keeps the plugins of a restarted runtime from reconnecting all at once.
		pause(ctx, delay/2+mathrand.N(delay/2))
	}
}

func (n network) dial(ctx context.Context, at place) (net.Conn, error) {
	conn, err := remote.Connect(ctx, at.address, n.credentials, n.runtimes, at.hostName)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, remoteDialTimeout, fmt.Errorf("no answer within %v", remoteDialTimeout))
	defer cancel()
	upgraded, err := upgrade(limited, conn, hijackHost, hijackPath, hijackScheme)
	switch {
	case err == nil:
		return upgraded, nil
	case n.credentials != nil && remote.IsRefusal(err):
		return nil, n.credentials.Refusal(at.address.String(), err, true)
	}
	return nil, fmt.Errorf("%s: %w", at.address, err)
}

// runtimeLinks are the links of a plugin by the runtime that they lead to.
type runtimeLinks struct {
	lock   sync.Mutex
	newest map[string]*link
}

// enter notes a link that has been registered: it takes the place of another one to the same runtime.
func (r *runtimeLinks) enter(l *link) {
	id := l.gate.response.GetRuntimeId()
	if id == "" {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.newest == nil {
		r.newest = map[string]*link{}
	}
	r.newest[id] = l
}

// leave forgets a link that has ended, unless another one has taken its place.
func (r *runtimeLinks) leave(l *link) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if id := l.gate.response.GetRuntimeId(); r.newest[id] == l {
		delete(r.newest, id)
	}
}

// awaitSuccessor waits for the end of the link that has taken the place of one that has ended, if there is one: dialling the
// same runtime by its other address would only take the place of that link.
func (r *runtimeLinks) awaitSuccessor(ctx context.Context, l *link) {
	r.lock.Lock()
	newest := r.newest[l.gate.response.GetRuntimeId()]
	r.lock.Unlock()
	if newest == nil {
		return
	}
	select {
	case <-newest.closing:
	case <-ctx.Done():
	}
}

var errListensAndDials = addressError{rule: "a plugin either listens or dials: set one of " + listenVariable + " and " + socketVariable}
