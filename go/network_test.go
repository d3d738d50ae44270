package plugmux

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	"plugmux.dev/go/internal/remote"
	"plugmux.dev/go/internal/remotetest"
	"plugmux.dev/go/plugmuxtest"
)

const (
	kvID      = "spiffe://test/kv"
	runtimeID = "spiffe://test/runtime"
)

// remoteRuntime is a runtime that listens with TLS and keeps the links of the plugins that have registered.
type remoteRuntime struct {
	address string
	links   chan *plugmuxtest.Link
	server  *http.Server
}

func startRuntime(t *testing.T, ca *remotetest.Authority, response *pluginsv1.RegisterPluginResponse, handler http.Handler) *remoteRuntime {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &remoteRuntime{address: "tls://" + listener.Addr().String(), links: make(chan *plugmuxtest.Link, 16)}
	hijack := plugmuxtest.Hijack(plugmuxtest.Options{Response: response}, func(link *plugmuxtest.Link) {
		if _, err := link.Registration(testContext(t)); err == nil {
			r.links <- link
		}
		<-link.Session.CloseChan()
	})
	mux := http.NewServeMux()
	mux.Handle("/hijack", hijack)
	if handler != nil {
		mux.Handle("/", handler)
	}
	r.server = &http.Server{Handler: mux}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{ca.Issue(t, runtimeID, nil)},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    ca.Pool(),
		NextProtos:   []string{"http/1.1"}, // net/http closes a connection whose protocol it does not know
	}
	go func() { _ = r.server.Serve(tls.NewListener(listener, config)) }()
	t.Cleanup(func() { _ = r.server.Close() })
	return r
}

func (r *remoteRuntime) link(t *testing.T) *plugmuxtest.Link {
	t.Helper()
	select {
	case link := <-r.links:
		return link
	case <-testContext(t).Done():
		t.Fatal("no plugin has registered")
		return nil
	}
}

func runRemote(t *testing.T, config Config, servables ...Servable) <-chan error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- Run(ctx, config, servables...)
	}()
	t.Cleanup(func() {
		stop()
		for range ended { // until the plugin has ended
		}
	})
	return ended
}

func credentials(t *testing.T, ca *remotetest.Authority, id string) TLS {
	directory := t.TempDir()
	ca.Write(t, directory, ca.Issue(t, id, nil))
	return TLS{Directory: directory}
}

func TestAPluginDialsARuntimeOnTheNetwork(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	runtime := startRuntime(t, ca, nil, nil)
	runRemote(t, Config{Name: "kv", Socket: runtime.address, TLS: credentials(t, ca, kvID)}, Handler("/", http.NotFoundHandler()), kv{
		get: func(context.Context) ([]byte, error) { return []byte("v"), nil },
	}.servable())
	first := runtime.link(t)
	id := registered(t, first).GetProcessId()
	if len(id) != 32 {
		t.Errorf("the process id is %q", id)
	}
	if fetch(t, first, "/health") != "ok" {
		t.Error("the plugin does not serve")
	}
	_ = first.Session.Close()
	second := runtime.link(t)
	if registered(t, second).GetProcessId() != id {
		t.Error("the process id has changed")
	}
}

func TestThePluginWaitsForARuntimeThatDoesNotListenYet(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tried := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := taken.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // before the handshake
			select {
			case tried <- struct{}{}:
			default:
			}
		}
	}()
	ended := runRemote(t, Config{Name: "kv", Socket: "tls://" + taken.Addr().String(), TLS: credentials(t, ca, kvID)})
	<-tried
	_ = taken.Close()
	select {
	case err := <-ended:
		t.Fatal("the plugin has ended:", err)
	default:
	}
	listener, err := net.Listen("tcp", taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	links := make(chan *plugmuxtest.Link, 1)
	server := &http.Server{Handler: plugmuxtest.Hijack(plugmuxtest.Options{}, func(link *plugmuxtest.Link) {
		if _, err := link.Registration(testContext(t)); err == nil {
			links <- link
		}
	})}
	defer server.Close()
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, runtimeID, nil)}, NextProtos: []string{"http/1.1"}}
	go func() { _ = server.Serve(tls.NewListener(listener, config)) }()
	select {
	case <-links:
	case <-testContext(t).Done():
		t.Fatal("the plugin did not come")
	}
}

func TestAPluginThatLogsToItsRuntimeTellsOnStderrWhyItHasNone(t *testing.T) {
	said, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	kept := os.Stderr
	os.Stderr = stderr
	t.Cleanup(func() {
		os.Stderr = kept
		_, _ = said.Close(), stderr.Close()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "tls://" + listener.Addr().String()
	_ = listener.Close()
	runRemote(t, Config{Name: "kv", Socket: address, TLS: credentials(t, remotetest.NewAuthority(t), kvID), Logs: NewLogHandler(nil)})
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || !strings.Contains(line, "the runtime is not reached") || !strings.Contains(line, "connection refused") {
		t.Error(line, err)
	}
}

func TestAPluginThatReachesOneRuntimeTwiceKeepsOneLink(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	answer := &pluginsv1.RegisterPluginResponse{RuntimeId: "r"}
	runtime := startRuntime(t, ca, answer, nil)
	other := strings.Replace(runtime.address, "127.0.0.1", "localhost", 1)
	runRemote(t, Config{Name: "kv", Socket: runtime.address + ", " + other, TLS: credentials(t, ca, kvID)})
	first, second := runtime.link(t), runtime.link(t)
	_ = first.Session.Close() // the runtime lets the older one go
	if fetch(t, second, "/health") != "ok" {
		t.Error("the newer link has ended")
	}
	_ = second.Session.Close() // only now the other address is dialled again
	third := runtime.link(t)
	if fetch(t, third, "/health") != "ok" {
		t.Error("the plugin did not come back")
	}
}

func TestAPluginListensForRuntimes(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	ended := runRemote(t, Config{Name: "kv", Listen: "tls://" + address, TLS: credentials(t, ca, kvID)})

	dial := func(id string) (*tls.Conn, error) {
		config := &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{ca.Issue(t, id, nil)}, NextProtos: []string{"plugmux/1"},
		}
		for {
			conn, err := tls.Dial("tcp", address, config)
			if err == nil || !strings.Contains(err.Error(), "refused") || t.Context().Err() != nil {
				return conn, err
			}
			select {
			case err := <-ended:
				return nil, err
			case <-time.After(time.Millisecond): // until it listens
			}
		}
	}
	for _, c := range [][2]string{
		{"spiffe://test/other", "its certificate is spiffe://test/other; expected an identity whose name is \"runtime\""},
		{runtimeID, ""},
	} {
		id, want := c[0], c[1]
		conn, err := dial(id)
		if err != nil {
			t.Fatal(err)
		}
		upgraded, err := upgrade(testContext(t), conn, hijackHost, hijackPath, hijackScheme)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "403") {
				t.Error(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		link := plugmuxtest.NewLink(upgraded, plugmuxtest.Options{})
		if name := registered(t, link).GetName(); name != "kv" {
			t.Error(name)
		}
		if err := link.Shutdown(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-testContext(t).Done():
		t.Error("Shutdown did not end the plugin")
	}
}

func TestOfConnectionsThatAreNoLinksOneMoreEndsTheOldest(t *testing.T) {
	connections := newUnlinked(2)
	peers := make([]net.Conn, 4)
	for i := range peers {
		conn, peer := net.Pipe()
		peers[i] = peer
		connections.follow(conn, http.StateNew)
		if i == 0 {
			connections.follow(conn, http.StateHijacked) // a link counts no more
		}
	}
	if _, err := peers[1].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the oldest that is no link: %v, want its end", err)
	}
	if len(connections.elements) != 2 || connections.oldest.Len() != 2 {
		t.Errorf("%d connections are known, want 2", len(connections.elements))
	}
	for i, conn := range []net.Conn{peers[0], peers[2], peers[3]} {
		_ = conn.SetReadDeadline(time.Now())
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d has ended: %v", i, err)
		}
	}
}

func TestWhatAPluginNeedsForANetworkIsToldAtOnce(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
		usage  bool
	}{
		{Config{Socket: "tls://h.example:1"}, "needs a certificate: set PLUGMUX_TLS_DIR", false},
		{Config{Listen: "tls://127.0.0.1:0"}, "needs a certificate: set PLUGMUX_TLS_DIR", false},
		{Config{Socket: "tcp://h.example:1"}, "has no TLS and leaves this machine", true},
		{Config{Socket: "tls://h.example"}, "it needs a port", true},
		{Config{Listen: "tls+dns://h.example:1"}, "a plugin cannot listen at tls+dns://h.example:1", false},
		{Config{Socket: "unix:/x", Listen: "tcp://127.0.0.1:0"}, "a plugin either listens or dials", true},
		{Config{Socket: "tls://h:1", TLS: TLS{Directory: "/nowhere"}}, "the certificate cannot be used: stat /nowhere/tls.crt", false},
		{Config{Socket: "tls://h:1", TLS: TLS{Peers: []string{"https://x"}}}, "is not an identity", false},
	} {
		err := Run(testContext(t), c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNoRuntime) != c.usage {
			t.Errorf("%v: %v", c.config, err)
		}
	}
}

// joinService gives certificates to who has the token.
type joinService struct {
	plugmuxv1connect.UnimplementedJoinServiceHandler
	t     *testing.T
	ca    *remotetest.Authority
	token string
	joins atomic.Int32
}

func (s *joinService) GetAuthority(context.Context, *plugmuxv1.GetAuthorityRequest) (*plugmuxv1.GetAuthorityResponse, error) {
	return &plugmuxv1.GetAuthorityResponse{CaPem: string(s.ca.PEM)}, nil
}

func (s *joinService) Join(_ context.Context, request *plugmuxv1.JoinRequest) (*plugmuxv1.JoinResponse, error) {
	if request.GetToken() != s.token || s.joins.Add(1) > 1 {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("this join token has been used: start the plugin anew"))
	}
	return &plugmuxv1.JoinResponse{CertificatePem: string(s.ca.Sign(s.t, request.GetCsr(), kvID))}, nil
}

func TestAPluginJoinsTheRuntimeThatHasStartedItElsewhere(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	service := &joinService{t: t, ca: ca, token: "once"}
	_, handler := plugmuxv1connect.NewJoinServiceHandler(service)
	runtime := startRuntime(t, ca, nil, handler)
	block, _ := pem.Decode(ca.PEM)
	digest := sha256.Sum256(block.Bytes)
	launch := &launchConfig{
		Name: "kv", Timeout: testLimit, Address: runtime.address, Token: "once", CA: fingerprintPrefix + hex.EncodeToString(digest[:]),
	}
	ctx, stop := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() { ended <- newPlugin(Config{}, nil).run(ctx, launch) }()
	link := runtime.link(t)
	if name := registered(t, link).GetName(); name != "kv" {
		t.Error(name)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	err := newPlugin(Config{}, nil).run(testContext(t), launch)
	if err == nil || !strings.Contains(err.Error(), "this join token has been used") || strings.Contains(err.Error(), "once") {
		t.Error("a second use:", err)
	}
	launch.CA = fingerprintPrefix + strings.Repeat("0", 64)
	err = newPlugin(Config{}, nil).run(testContext(t), launch)
	if err == nil || !strings.Contains(err.Error(), "is not the one that launched this plugin: its CA is sha256:") {
		t.Error("another CA:", err)
	}
}

func TestALinkThatHasEndedIsNotKept(t *testing.T) {
	p := newPlugin(Config{}, nil)
	ours, theirs := net.Pipe()
	runtime := plugmuxtest.NewLink(ours, plugmuxtest.Options{Response: &pluginsv1.RegisterPluginResponse{RuntimeId: "r"}})
	ended := make(chan error, 1)
	go func() {
		ended <- p.serveOnce(t.Context(), newLink(t.Context(), theirs, p.handler, p.config.Limits), testLimit)
	}()
	fetch(t, runtime, "/registered") // is answered once the plugin knows that it is registered
	_ = runtime.Session.Close()
	if err := <-ended; err != nil || len(p.runtimes.newest) != 0 {
		t.Error(err, p.runtimes.newest)
	}
}

// records are the SRV records of a name, and the hosts that have an address.
type records struct {
	targets []*net.SRV
	hosts   map[string]netip.Addr
}

func (r records) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", r.targets, nil
}

func (r records) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if address, ok := r.hosts[host]; ok {
		return []netip.Addr{address}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestATargetThatIsGoneHidesNoOther(t *testing.T) {
	names := records{
		targets: []*net.SRV{{Target: "gone.", Port: 7443}, {Target: "a.", Port: 7443}, {Target: "b.", Port: 7444}},
		hosts:   map[string]netip.Addr{"a": netip.MustParseAddr("10.0.0.1"), "b": netip.MustParseAddr("10.0.0.2")},
	}
	address := remote.Address{Scheme: "tls+srv", Host: "_plugmux._tcp.kv.example"}
	found, err := lookUp(t.Context(), names, address)
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v", found, err)
	}
	names.hosts = nil
	if found, err = lookUp(t.Context(), names, address); err == nil {
		t.Fatalf("found %v, and no error", found)
	}
}
