package plugmux

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	"plugmux.dev/go/plugmuxtest"
)

func value(text string) kv {
	return kv{get: func(context.Context) ([]byte, error) { return []byte(text), nil }}
}

func at(link *plugmuxtest.Link, reference string) kvv1connect.KeyValueServiceClient {
	return kvv1connect.NewKeyValueServiceClient(link.Client(), plugmuxtest.BaseURL+referencePrefix+reference)
}

func releaseOf(t *testing.T, link *plugmuxtest.Link, reference string) {
	t.Helper()
	service := plugmuxv1connect.NewReferenceServiceClient(link.Client(), plugmuxtest.BaseURL)
	if _, err := service.Release(t.Context(), &plugmuxv1.ReleaseRequest{Reference: reference}); err != nil {
		t.Fatal(err)
	}
}

func wantNotLent(t *testing.T, err error) {
	t.Helper()
	if connect.CodeOf(err) != connect.CodeNotFound || !strings.Contains(err.Error(), errNotLent.Error()) {
		t.Error(err)
	}
}

// lender serves a KeyValueService whose Get lends what the function gives, and answers with the reference.
func lender(object func() []Servable) Servable {
	return kv{get: func(ctx context.Context) ([]byte, error) {
		reference, err := Lend(ctx, object()...)
		return []byte(reference), err
	}}.servable()
}

func borrowed(t *testing.T, link *plugmuxtest.Link) string {
	t.Helper()
	response, err := kvClient(link).Get(testContext(t), &kvv1.GetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return string(response.GetValue())
}

func TestALentObjectIsCalledByItsReferenceUntilItIsReleased(t *testing.T) {
	var cleaned atomic.Int32
	link, _ := run(t, plugmuxtest.Options{}, Config{}, lender(func() []Servable {
		return []Servable{
			value("lent").servable(),
			Handler("/page", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") })),
			OnRelease(func() { cleaned.Add(1) }),
		}
	}))
	reference := borrowed(t, link)
	if len(reference) != 32 || reference == borrowed(t, link) {
		t.Error("a reference must be long, and of its own")
	}
	if response, err := at(link, reference).Get(testContext(t), &kvv1.GetRequest{}); err != nil || string(response.GetValue()) != "lent" {
		t.Error(response, err)
	}
	if page := fetch(t, link, referencePrefix+reference+"/page"); page != "a page" {
		t.Error(page)
	}
	for range 2 {
		releaseOf(t, link, reference)
		if cleaned.Load() != 1 {
			t.Error("cleaned up", cleaned.Load(), "times")
		}
	}
	_, err := at(link, reference).Get(testContext(t), &kvv1.GetRequest{})
	wantNotLent(t, err)
}

func TestAReferenceThatNobodyGaveIsNotFound(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{})
	_, err := at(link, "0123").Get(testContext(t), &kvv1.GetRequest{})
	wantNotLent(t, err)
	stream, err := at(link, "0123").Watch(testContext(t), &kvv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
		t.Error("a message came")
	}
	wantNotLent(t, stream.Err())
	releaseOf(t, link, "0123")
}

func TestAReferenceIsOfOneLink(t *testing.T) {
	one, _ := run(t, plugmuxtest.Options{}, Config{}, lender(func() []Servable { return []Servable{value("lent").servable()} }))
	other, _ := run(t, plugmuxtest.Options{}, Config{})
	_, err := at(other, borrowed(t, one)).Get(testContext(t), &kvv1.GetRequest{})
	wantNotLent(t, err)
}

func TestALentObjectEndsWithTheLink(t *testing.T) {
	var cleaned atomic.Int32
	link, ended := run(t, plugmuxtest.Options{}, Config{}, lender(func() []Servable {
		return []Servable{value("lent").servable(), OnRelease(func() { cleaned.Add(1) })}
	}))
	borrowed(t, link)
	borrowed(t, link)
	_ = link.Session.Close()
	for range ended { // until the plugin has ended
	}
	if cleaned.Load() != 2 {
		t.Error("cleaned up behind", cleaned.Load(), "of 2")
	}
}

func TestThePluginCallsAndReleasesWhatTheRuntimeHasLent(t *testing.T) {
	handler := http.NewServeMux()
	path, service := kvv1connect.NewKeyValueServiceHandler(value("of the host"))
	handler.Handle("/reference/0123"+path, http.StripPrefix("/reference/0123", service))
	var released atomic.Value
	handler.Handle(plugmuxv1connect.NewReferenceServiceHandler(releases{&released}))
	link, _ := run(t, plugmuxtest.Options{Handler: handler}, Config{}, kv{get: func(ctx context.Context) ([]byte, error) {
		response, err := kvv1connect.NewKeyValueServiceClient(Host, At("0123")).Get(ctx, &kvv1.GetRequest{})
		return response.GetValue(), errors.Join(err, Release(ctx, "0123"))
	}}.servable())
	if got := borrowed(t, link); got != "of the host" || released.Load() != "0123" {
		t.Error(got, released.Load())
	}
}

type releases struct{ last *atomic.Value }

func (r releases) Release(_ context.Context, request *plugmuxv1.ReleaseRequest) (*plugmuxv1.ReleaseResponse, error) {
	r.last.Store(request.GetReference())
	return &plugmuxv1.ReleaseResponse{}, nil
}

func TestWithoutALinkNothingIsLent(t *testing.T) {
	if _, err := Lend(t.Context()); err == nil {
		t.Error("lent")
	}
	Withdraw(t.Context(), "0123")
}

// -- instances

type region struct {
	Name string `json:"name"`
}

func openInstance(t *testing.T, link *plugmuxtest.Link, configuration string) (string, error) {
	t.Helper()
	service := plugmuxv1connect.NewInstanceServiceClient(link.Client(), plugmuxtest.BaseURL)
	response, err := service.Open(t.Context(), &plugmuxv1.OpenRequest{ConfigurationJson: configuration})
	return response.GetReference(), err
}

func regions(limit int) (*Instances[region], *atomic.Int32) {
	alive := &atomic.Int32{}
	return &Instances[region]{
		Services: []string{kvv1connect.KeyValueServiceName},
		Schema:   `{"type": "object"}`,
		Limit:    limit,
		Open: func(ctx context.Context, config region) ([]Servable, error) {
			switch config.Name {
			case "":
				return nil, errors.New("a region has a name")
			case "forbidden":
				return nil, connect.NewError(connect.CodePermissionDenied, errors.New("not yours"))
			}
			alive.Add(1)
			context.AfterFunc(ctx, func() { alive.Add(-1) })
			return []Servable{value(config.Name).servable()}, nil
		},
	}, alive
}

func TestInstancesAreAnnouncedAndNotServedAtTheRoot(t *testing.T) {
	instances, _ := regions(0)
	link, _ := run(t, plugmuxtest.Options{}, Config{}, instances.Servable())
	request := registered(t, link)
	if services := request.GetInstances().GetServices(); len(services) != 1 || services[0] != kvv1connect.KeyValueServiceName {
		t.Error(services)
	}
	if request.GetInstances().GetConfiguration().GetJsonSchema() != `{"type": "object"}` || len(request.GetServices()) != 0 {
		t.Error(request)
	}
	if _, err := kvClient(link).Get(t.Context(), &kvv1.GetRequest{}); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Error(err)
	}
}

func TestInstancesAreApart(t *testing.T) {
	instances, _ := regions(0)
	link, _ := run(t, plugmuxtest.Options{}, Config{}, instances.Servable())
	for _, name := range []string{"eu", "us"} {
		reference, err := openInstance(t, link, `{"name": "`+name+`"}`)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := at(link, reference).Get(t.Context(), &kvv1.GetRequest{}); err != nil || string(response.GetValue()) != name {
			t.Error(response, err)
		}
	}
}

func TestAnInstanceThatCannotBeOpenedSaysWhy(t *testing.T) {
	instances, _ := regions(1)
	link, _ := run(t, plugmuxtest.Options{}, Config{}, instances.Servable())
	for configuration, want := range map[string]string{
		"":                      "invalid_argument: a region has a name",
		`{"nmae": "eu"}`:        "invalid_argument: the configuration cannot be used: json: unknown field \"nmae\"",
		`{"name": 1`:            "invalid_argument: the configuration cannot be used: unexpected EOF",
		`{"name": "forbidden"}`: "permission_denied: not yours",
	} {
		if _, err := openInstance(t, link, configuration); err == nil || err.Error() != want {
			t.Error(configuration, err)
		}
	}
	first, err := openInstance(t, link, `{"name": "eu"}`)
	if err != nil {
		t.Fatal("those that failed must not count: ", err)
	}
	if _, err := openInstance(t, link, `{"name": "us"}`); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Error(err)
	}
	releaseOf(t, link, first)
	if _, err := openInstance(t, link, `{"name": "us"}`); err != nil {
		t.Error(err)
	}
}

func TestA1000InstancesLeaveNothingBehind(t *testing.T) {
	instances, alive := regions(0)
	link, _ := run(t, plugmuxtest.Options{}, Config{}, instances.Servable())
	round := func() {
		var references []string
		for range 1000 {
			reference, err := openInstance(t, link, `{"name": "eu"}`)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := at(link, reference).Get(t.Context(), &kvv1.GetRequest{}); err != nil {
				t.Fatal(err)
			}
			references = append(references, reference)
		}
		for _, reference := range references {
			releaseOf(t, link, reference)
		}
	}
	round()
	before := heapObjects()
	round()
	if instances.count.Load() != 0 {
		t.Error(instances.count.Load(), "instances are counted still")
	}
	// Contexts and streams end in goroutines of their own, soon after the calls: what leaks never goes away.
	limit := testContext(t)
	for alive.Load() != 0 || heapObjects() > before+5_000 { // an instance has dozens of objects
		if limit.Err() != nil {
			t.Fatal(alive.Load(), "instances are alive; objects on the heap: ", before, heapObjects())
		}
	}
}

func heapObjects() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapObjects
}

func TestAnOnReleaseFunctionThatHangsDelaysNoOtherAndDoesNotKeepThePlugin(t *testing.T) {
	others, blocked := make(chan struct{}, 2), make(chan struct{})
	t.Cleanup(func() { close(blocked) })
	cleanUps := make(chan func(), 3)
	for _, cleanUp := range []func(){func() { others <- struct{}{} }, func() { <-blocked }, func() { others <- struct{}{} }} {
		cleanUps <- cleanUp
	}
	link, ended := run(t, plugmuxtest.Options{}, Config{Limits: Limits{CloseTimeout: 50 * time.Millisecond}},
		lender(func() []Servable { return []Servable{OnRelease(<-cleanUps)} }))
	for range 3 {
		borrowed(t, link)
	}
	_ = link.Session.Close()
	for range 2 {
		select {
		case <-others:
		case <-testContext(t).Done():
			t.Fatal("another object was not cleaned up")
		}
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-testContext(t).Done():
		t.Error("the plugin has not ended")
	}
}
