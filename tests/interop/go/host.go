package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	resolverv1 "plugmux.dev/gen/go/resolver/v1"
	"plugmux.dev/gen/go/resolver/v1/resolverv1connect"
	plugmux "plugmux.dev/go"
	"plugmux.dev/go/plugmuxtest"
)

const (
	large    = 1 << 20
	inFlight = 16
	calls    = 320
)

// host is what the plugins find at their runtime, and what became of their visit.
type host struct {
	mu      sync.Mutex
	audited int
	early   map[*plugmuxtest.Link]chan error
}

func newHost() *host { return &host{early: map[*plugmuxtest.Link]chan error{}} }

func (h *host) options() plugmuxtest.Options {
	mux := http.NewServeMux()
	mux.Handle(kvv1connect.NewAuditServiceHandler(h))
	return plugmuxtest.Options{Handler: mux, OnRegister: h.callEarly}
}

// Record counts what a plugin says that it has done.
func (h *host) Record(context.Context, *kvv1.RecordRequest) (*kvv1.RecordResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.audited++
	return &kvv1.RecordResponse{}, nil
}

// callEarly calls the plugin while its registration has not been answered yet: health is answered, an RPC waits.
func (h *host) callEarly(ctx context.Context, link *plugmuxtest.Link, _ *pluginsv1.RegisterPluginRequest) error {
	answered := make(chan error, 1)
	h.mu.Lock()
	h.early[link] = answered
	h.mu.Unlock()
	go func() {
		_, err := kvv1connect.NewKeyValueServiceClient(link.Client(), plugmuxtest.BaseURL).
			Put(context.WithoutCancel(ctx), &kvv1.PutRequest{Key: "early", Value: []byte("bird")})
		answered <- err
	}()
	if err := health(link.Client()); err != nil {
		return err
	}
	if len(answered) > 0 {
		return errors.New("the plugin serves calls before it is registered")
	}
	return nil
}

// examine calls everything that an example plugin serves, and ends it.
func (h *host) examine(ctx context.Context, link *plugmuxtest.Link, timeout time.Duration) *report {
	report := &report{Services: []string{}, Secrets: []string{}}
	report.check("register", func() error {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		said, err := link.Registration(limited)
		if err != nil {
			return err
		}
		report.Name, report.Version = said.GetName(), said.GetVersion()
		report.Pattern, report.Services = said.GetSecretsProvider().GetPattern(), append(report.Services, said.GetServices()...)
		if !slices.Contains(report.Services, kvv1connect.KeyValueServiceName) {
			return errors.New("the plugin does not announce " + kvv1connect.KeyValueServiceName)
		}
		return nil
	})
	if !report.ok() {
		return report
	}
	v := visit{link, kvv1connect.NewKeyValueServiceClient(link.Client(), plugmuxtest.BaseURL), report}
	report.check("call before registration waits", func() error { return v.early(ctx, h) })
	report.check("health", func() error { return health(link.Client()) })
	report.check("put and get", func() error { return v.roundTrip(ctx, "a", []byte("1")) })
	report.check("get without a value", func() error { return v.missing(ctx) })
	report.check("1 MiB", func() error { return v.roundTrip(ctx, "large", bytes.Repeat([]byte("x"), large)) })
	report.check("json", func() error { return v.json(ctx) })
	report.check("watch", func() error { return v.watch(ctx) })
	report.check("16 in flight", func() error { return v.parallel(ctx) })
	report.check("secrets", func() error { return v.secrets(ctx) })
	report.check("unknown paths", func() error { return v.unknown(ctx) })
	report.check("no stream left", func() error { return v.idle(ctx) })
	report.check("shutdown", func() error { return link.Shutdown(ctx) })
	h.mu.Lock()
	defer h.mu.Unlock()
	report.Audited, h.audited = h.audited, 0
	return report
}

// visit is the examination of one plugin.
type visit struct {
	link   *plugmuxtest.Link
	kv     kvv1connect.KeyValueServiceClient
	report *report
}

func (v visit) early(ctx context.Context, h *host) error {
	h.mu.Lock()
	answered := h.early[v.link]
	h.mu.Unlock()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v visit) roundTrip(ctx context.Context, key string, value []byte) error {
	if _, err := v.kv.Put(ctx, &kvv1.PutRequest{Key: key, Value: value}); err != nil {
		return err
	}
	response, err := v.kv.Get(ctx, &kvv1.GetRequest{Key: key})
	if err == nil && !bytes.Equal(response.GetValue(), value) {
		err = fmt.Errorf("got %d bytes in place of the %d that were put, or others", len(response.GetValue()), len(value))
	}
	return err
}

func (v visit) missing(ctx context.Context) error {
	_, err := v.kv.Get(ctx, &kvv1.GetRequest{Key: "no such key"})
	return expect(err, connect.CodeNotFound)
}

func (v visit) json(ctx context.Context) error {
	kv := kvv1connect.NewKeyValueServiceClient(v.link.Client(), plugmuxtest.BaseURL, connect.WithProtoJSON())
	if _, err := kv.Put(ctx, &kvv1.PutRequest{Key: "json", Value: []byte{0, 255}}); err != nil {
		return err
	}
	response, err := kv.Get(ctx, &kvv1.GetRequest{Key: "json"})
	if err == nil && !bytes.Equal(response.GetValue(), []byte{0, 255}) {
		err = fmt.Errorf("got %q", response.GetValue())
	}
	return err
}

// watch reads the present value and a new one, then leaves in the middle of the stream.
func (v visit) watch(ctx context.Context) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	if _, err := v.kv.Put(ctx, &kvv1.PutRequest{Key: "watched", Value: []byte("present")}); err != nil {
		return err
	}
	stream, err := v.kv.Watch(ctx, &kvv1.WatchRequest{Key: "watched"})
	if err != nil {
		return err
	}
	for _, want := range []string{"present", "new"} {
		if !stream.Receive() {
			return fmt.Errorf("the stream ended before %q: %w", want, stream.Err())
		}
		if got := string(stream.Msg().GetValue()); got != want {
			return fmt.Errorf("got %q in place of %q", got, want)
		}
		if _, err := v.kv.Put(ctx, &kvv1.PutRequest{Key: "watched", Value: []byte("new")}); err != nil {
			return err
		}
	}
	leave()
	return stream.Close()
}

func (v visit) parallel(ctx context.Context) error {
	work := make(chan int)
	failures := make(chan error, inFlight)
	for range inFlight {
		go func() {
			var failure error
			for i := range work {
				if failure == nil {
					failure = v.roundTrip(ctx, fmt.Sprint("key ", i), []byte(fmt.Sprint("value ", i)))
				}
			}
			failures <- failure
		}()
	}
	for i := range calls {
		work <- i
	}
	close(work)
	var all error
	for range inFlight {
		all = errors.Join(all, <-failures)
	}
	return all
}

func (v visit) secrets(ctx context.Context) error {
	resolver := resolverv1connect.NewResolverServiceClient(v.link.Client(), plugmuxtest.BaseURL)
	pattern := plugmux.Pattern(v.report.Pattern)
	response, err := resolver.GetSecrets(ctx, &resolverv1.GetSecretsRequest{Pattern: string(pattern)})
	if err != nil {
		return err
	}
	for _, envelope := range response.GetEnvelopes() {
		if !pattern.Match(envelope.GetId()) || len(envelope.GetValue()) == 0 {
			return fmt.Errorf("the secret %q has no value, or is none that %q matches", envelope.GetId(), pattern)
		}
		v.report.Secrets = append(v.report.Secrets, envelope.GetId())
	}
	unknown := strings.ReplaceAll(string(pattern), "**", "no/such/secret")
	_, err = resolver.GetSecrets(ctx, &resolverv1.GetSecretsRequest{Pattern: unknown})
	return expect(err, connect.CodeNotFound)
}

func (v visit) unknown(ctx context.Context) error {
	_, err := kvv1connect.NewAuditServiceClient(v.link.Client(), plugmuxtest.BaseURL).Record(ctx, &kvv1.RecordRequest{})
	if err := expect(err, connect.CodeUnimplemented); err != nil {
		return fmt.Errorf("a service that it does not serve: %w", err)
	}
	response, err := v.link.Client().Get(plugmuxtest.BaseURL + "/stream/no-such-stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusNotFound || !strings.Contains(string(text), "no-such-stream")) {
		err = fmt.Errorf("a raw stream that it does not serve: %s: %s", response.Status, text)
	}
	return err
}

// idle waits until the plugin has closed its ends of all the streams too.
func (v visit) idle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exitTimeout)
	defer cancel()
	for v.link.Session.NumStreams() > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("%d streams are still open", v.link.Session.NumStreams())
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func health(client *http.Client) error {
	response, err := client.Get(plugmuxtest.BaseURL + "/health")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || string(text) != "ok") {
		err = fmt.Errorf("%s: %q", response.Status, text)
	}
	return err
}

func expect(err error, want connect.Code) error {
	if err == nil {
		return fmt.Errorf("it succeeded; it should have failed with %v", want)
	}
	if code := connect.CodeOf(err); code != want {
		return fmt.Errorf("it failed with %v in place of %v: %w", code, want, err)
	}
	return nil
}
