package plugmux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	"plugmux.dev/gen/go/accesscontrol/v1/accesscontrolv1connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
	"plugmux.dev/go/plugmuxtest"
)

const testLimit = 20 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

func fetch(t *testing.T, link *plugmuxtest.Link, path string) string {
	t.Helper()
	response, err := link.Client().Get(plugmuxtest.BaseURL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run serves a plugin in this process on an in-memory connection. The channel gives what Run would have returned.
func run(t *testing.T, options plugmuxtest.Options, config Config, servables ...Servable) (*plugmuxtest.Link, <-chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	return runOn(t, ours, theirs, options, config, servables...)
}

func runOn(t *testing.T, ours, theirs net.Conn, options plugmuxtest.Options, config Config, servables ...Servable) (*plugmuxtest.Link, <-chan error) {
	t.Helper()
	p := newPlugin(config, servables)
	ctx, stop := context.WithCancel(t.Context())
	p.stop = stop
	link := plugmuxtest.NewLink(ours, options)
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- p.serveOnce(ctx, newLink(ctx, theirs, p.handler, p.config.Limits), testLimit)
	}()
	t.Cleanup(func() {
		_ = link.Session.Close()
		stop()
		for range ended { // until the plugin has ended
		}
	})
	return link, ended
}

func registered(t *testing.T, link *plugmuxtest.Link) *pluginsv1.RegisterPluginRequest {
	t.Helper()
	request, err := link.Registration(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// kv is a KeyValueService of functions.
type kv struct {
	kvv1connect.UnimplementedKeyValueServiceHandler
	get   func(context.Context) ([]byte, error)
	watch func(context.Context, *connect.ServerStream[kvv1.WatchResponse]) error
}

func (s kv) Get(ctx context.Context, _ *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	value, err := s.get(ctx)
	return &kvv1.GetResponse{Value: value}, err
}

func (s kv) Watch(ctx context.Context, _ *kvv1.WatchRequest, stream *connect.ServerStream[kvv1.WatchResponse]) error {
	return s.watch(ctx, stream)
}

func (s kv) servable() Servable { return Service(kvv1connect.NewKeyValueServiceHandler(s)) }

func kvClient(link *plugmuxtest.Link) kvv1connect.KeyValueServiceClient {
	return kvv1connect.NewKeyValueServiceClient(link.Client(), plugmuxtest.BaseURL)
}

func TestWhatIsServedIsAnnounced(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{Name: "n", Version: "v1.0.0", Priority: 7, Replica: true},
		kv{}.servable(), Secrets("a/**", nil), RawStream("s", nil))
	request := registered(t, link)
	if request.GetName() != "n" || request.GetVersion() != "v1.0.0" || request.GetPriority() != 7 || !request.GetReplica() {
		t.Error(request)
	}
	if !slices.Equal(request.GetServices(), []string{kvv1connect.KeyValueServiceName}) {
		t.Error(request.GetServices())
	}
	if request.GetSecretsProvider().GetPattern() != "a/**" {
		t.Error(request.GetMetadata())
	}
}

func TestAnAccessControlPluginIsAnnouncedAsOne(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{}, AccessControl(accesscontrolv1connect.UnimplementedAccessControlServiceHandler{}))
	if request := registered(t, link); request.GetAccessControlModule() == nil || len(request.GetServices()) != 0 {
		t.Error(request)
	}
}

func TestShutdownIsAnsweredAfterTheBackgroundHasCleanedUp(t *testing.T) {
	var cleaned atomic.Bool
	link, _ := run(t, plugmuxtest.Options{}, Config{Background: func(ctx context.Context) {
		<-ctx.Done()
		cleaned.Store(true)
	}})
	fetch(t, link, "/registered") // is answered once the plugin knows that it is registered
	service := pluginsv1connect.NewPluginServiceClient(link.Client(), plugmuxtest.BaseURL)
	if _, err := service.Shutdown(testContext(t), &pluginsv1.ShutdownRequest{}); err != nil || !cleaned.Load() {
		t.Error(err, cleaned.Load())
	}
}

func TestABackgroundThatDoesNotEndDoesNotKeepThePluginAlive(t *testing.T) {
	noTimeLimit := make(chan struct{})
	defer close(noTimeLimit)
	link, ended := run(t, plugmuxtest.Options{}, Config{Limits: Limits{CloseTimeout: 50 * time.Millisecond}, Background: func(context.Context) { <-noTimeLimit }})
	registered(t, link)
	if err := link.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACallBeforeTheRegistrationWaitsForIt(t *testing.T) {
	answered := make(chan error, 1)
	early := func(ctx context.Context, link *plugmuxtest.Link, _ *pluginsv1.RegisterPluginRequest) error {
		go func() {
			_, err := kvClient(link).Get(context.WithoutCancel(ctx), &kvv1.GetRequest{})
			answered <- err
		}()
		if got := fetch(t, link, healthPath); got != "ok" { // passes the gate
			t.Error(got)
		}
		if len(answered) != 0 {
			t.Error("the call did not wait")
		}
		return nil
	}
	engine := &pluginsv1.RegisterPluginResponse{ConfigurationJson: `{"a":1}`}
	service := kv{get: func(ctx context.Context) ([]byte, error) { return []byte(Runtime(ctx).GetConfigurationJson()), nil }}
	link, _ := run(t, plugmuxtest.Options{OnRegister: early, Response: engine}, Config{}, service.servable())
	if err := <-answered; err != nil {
		t.Error(err)
	}
	response, err := kvClient(link).Get(testContext(t), &kvv1.GetRequest{})
	if err != nil || string(response.GetValue()) != `{"a":1}` {
		t.Error(response, err)
	}
}

func TestARefusedPluginTurnsCallsAwayAndFails(t *testing.T) {
	answered := make(chan error, 1)
	refuse := func(ctx context.Context, link *plugmuxtest.Link, _ *pluginsv1.RegisterPluginRequest) error {
		go func() {
			_, err := kvClient(link).Get(context.WithoutCancel(ctx), &kvv1.GetRequest{})
			answered <- err
		}()
		fetch(t, link, healthPath)
		return connect.NewError(connect.CodeInvalidArgument, errors.New("bad pattern"))
	}
	_, ended := run(t, plugmuxtest.Options{OnRegister: refuse}, Config{Name: "n"}, kv{}.servable())
	if err := <-ended; connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), `"n"`) {
		t.Error(err)
	}
	if err := <-answered; connect.CodeOf(err) != connect.CodeUnavailable {
		t.Error(err)
	}
}

func TestShutdownLetsTheCallInFlightFinish(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	service := kv{get: func(context.Context) ([]byte, error) {
		close(begun)
		<-finish
		return []byte("done"), nil
	}}
	link, ended := run(t, plugmuxtest.Options{}, Config{}, service.servable())
	registered(t, link)
	answered := make(chan error, 1)
	go func() {
		_, err := kvClient(link).Get(t.Context(), &kvv1.GetRequest{})
		answered <- err
	}()
	<-begun
	shut := make(chan error, 1)
	go func() { shut <- link.Shutdown(testContext(t)) }()
	close(finish)
	for _, result := range []<-chan error{answered, shut, ended} {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

func TestTheBackgroundCleansUpBehindTheCallsUnderWay(t *testing.T) {
	begun, finish, order := make(chan struct{}), make(chan struct{}), make(chan string, 2)
	service := kv{get: func(context.Context) ([]byte, error) {
		close(begun)
		<-finish
		order <- "call"
		return []byte("done"), nil
	}}
	link, ended := run(t, plugmuxtest.Options{}, Config{Limits: Limits{CloseTimeout: testLimit}, Background: func(ctx context.Context) {
		<-ctx.Done()
		order <- "clean-up"
	}}, service.servable())
	registered(t, link)
	answered := make(chan error, 1)
	go func() {
		_, err := kvClient(link).Get(t.Context(), &kvv1.GetRequest{})
		answered <- err
	}()
	<-begun
	shut := make(chan error, 1)
	go func() { shut <- link.Shutdown(testContext(t)) }()
	fetch(t, link, healthPath)
	select {
	case first := <-order:
		close(finish)
		t.Fatal(first, "comes first")
	case <-time.After(50 * time.Millisecond): // time in which the wrong order would show
	}
	close(finish)
	for _, want := range []string{"call", "clean-up"} {
		if got := <-order; got != want {
			t.Error(got)
		}
	}
	for _, result := range []<-chan error{answered, shut, ended} {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

// recorder keeps what was read from a connection.
type recorder struct {
	net.Conn
	read bytes.Buffer
}

func (r *recorder) Read(data []byte) (int, error) {
	n, err := r.Conn.Read(data)
	r.read.Write(data[:n])
	return n, err
}

func TestAPluginSaysThatItGoesAwayBeforeItCloses(t *testing.T) {
	ours, theirs := net.Pipe()
	record := &recorder{Conn: ours}
	link, ended := runOn(t, record, theirs, plugmuxtest.Options{}, Config{})
	registered(t, link)
	service := pluginsv1connect.NewPluginServiceClient(link.Client(), plugmuxtest.BaseURL)
	if _, err := service.Shutdown(testContext(t), &pluginsv1.ShutdownRequest{}); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-link.Session.CloseChan()
	if !bytes.Contains(record.read.Bytes(), []byte{0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("% x", record.read.Bytes())
	}
}

func TestAHandlersContextEndsWhenItsCallerLeaves(t *testing.T) {
	left := make(chan error, 1)
	service := kv{watch: func(ctx context.Context, stream *connect.ServerStream[kvv1.WatchResponse]) error {
		if err := stream.Send(&kvv1.WatchResponse{}); err != nil {
			return err
		}
		<-ctx.Done()
		left <- ctx.Err()
		return nil
	}}
	link, _ := run(t, plugmuxtest.Options{}, Config{}, service.servable())
	ctx, leave := context.WithCancel(testContext(t))
	stream, err := kvClient(link).Watch(ctx, &kvv1.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// audit is the service that the host serves in these tests.
type audit func(*kvv1.RecordRequest)

func (a audit) Record(_ context.Context, request *kvv1.RecordRequest) (*kvv1.RecordResponse, error) {
	a(request)
	return &kvv1.RecordResponse{}, nil
}

func TestAHandlerCallsTheHost(t *testing.T) {
	events := make(chan string, 1)
	mux := http.NewServeMux()
	mux.Handle(kvv1connect.NewAuditServiceHandler(audit(func(r *kvv1.RecordRequest) { events <- r.GetEvent() })))
	client := kvv1connect.NewAuditServiceClient(Host, HostURL)
	service := kv{get: func(ctx context.Context) ([]byte, error) {
		_, err := client.Record(ctx, &kvv1.RecordRequest{Event: "got"})
		return nil, err
	}}
	link, _ := run(t, plugmuxtest.Options{Handler: mux}, Config{}, service.servable())
	if _, err := kvClient(link).Get(testContext(t), &kvv1.GetRequest{}); err != nil {
		t.Fatal(err)
	}
	if event := <-events; event != "got" {
		t.Error(event)
	}
}

func TestTheHostNeedsTheContextOfALink(t *testing.T) {
	_, err := kvv1connect.NewAuditServiceClient(Host, HostURL).Record(t.Context(), &kvv1.RecordRequest{})
	if err == nil || !strings.Contains(err.Error(), "the context has no runtime") {
		t.Error(err)
	}
	if _, err := OpenStream(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "the context has no runtime") {
		t.Error(err)
	}
	if Runtime(t.Context()) != nil {
		t.Error("there is a runtime without a link")
	}
}

func TestAPluginComesBackWhenItsRuntimeDoes(t *testing.T) {
	links := make(chan *plugmuxtest.Link)
	server := httptest.NewUnstartedServer(plugmuxtest.Hijack(plugmuxtest.Options{}, func(link *plugmuxtest.Link) {
		links <- link
		<-link.Session.CloseChan()
	}))
	path := t.TempDir() + "/s"
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	defer server.Close()

	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), Config{Name: "n", Socket: "unix:" + path}) }()
	for range 2 {
		link := <-links
		if request := registered(t, link); request.GetName() != "n" {
			t.Error(request)
		}
		fetch(t, link, "/registered") // is answered once the plugin knows that it is registered
		_ = link.Session.Close()
	}
	last := <-links
	if err := last.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBytesBehindTheAnswerToADialAreTheFirstOfTheLink(t *testing.T) {
	for name, trailing := range map[string]string{"none": "", "some": "yamux"} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/s"
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			asked := make(chan string, 1)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				head := make([]byte, 4096)
				n, _ := conn.Read(head)
				asked <- string(head[:n])
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"+trailing)
			}()
			conn, err := dial(testContext(t), path, newPeerPolicy(nil))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want := "GET /hijack HTTP/1.1\r\nHost: secrets-engine.localhost\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"
			if got := <-asked; got != want {
				t.Errorf("%q", got)
			}
			if got, err := io.ReadAll(conn); string(got) != trailing || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestASilentRuntimeEndsTheDial(t *testing.T) {
	path := t.TempDir() + "/s"
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := dial(ctx, path, newPeerPolicy(nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
