package plugmux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	resolverv1 "plugmux.dev/gen/go/resolver/v1"
	"plugmux.dev/gen/go/resolver/v1/resolverv1connect"
	"plugmux.dev/go/plugmuxtest"
)

// logged collects what is logged while a test runs.
type logged struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(data []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(data)
}

func collectLogs(t *testing.T) *logged {
	collected, before := &logged{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(collected, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return collected
}

// errors gives the records of level ERROR.
func (l *logged) errors(t *testing.T) []map[string]string {
	t.Helper()
	l.lock.Lock()
	defer l.lock.Unlock()
	var records []map[string]string
	for decoder := json.NewDecoder(bytes.NewReader(l.text.Bytes())); ; {
		var record map[string]string
		if err := decoder.Decode(&record); err == io.EOF {
			return records
		} else if err != nil {
			t.Fatal(err)
		}
		if record["level"] == "ERROR" {
			records = append(records, record)
		}
	}
}

// endings are the ways in which a handler ends without returning.
var endings = map[string]struct {
	end  func()
	says string
}{
	"a panic":       {func() { panic("no such luck") }, "no such luck"},
	"a nil pointer": {func() { var p *failure; _ = p.value }, "nil pointer"},
	"panic(nil)":    {func() { panic(nil) }, "nil"}, //nolint:govet // handlers do it
	"Goexit":        {runtime.Goexit, "Goexit"},
}

func TestAHandlerThatPanicsEndsItsCallWithInternal(t *testing.T) {
	for name, ending := range endings {
		calls := map[string]func(*testing.T, *plugmuxtest.Link) error{
			"unary": func(t *testing.T, link *plugmuxtest.Link) error {
				_, err := kvClient(link).Get(testContext(t), &kvv1.GetRequest{})
				return err
			},
			"a stream": func(t *testing.T, link *plugmuxtest.Link) error {
				stream, err := kvClient(link).Watch(testContext(t), &kvv1.WatchRequest{})
				if err != nil {
					return err
				}
				if stream.Receive() {
					t.Error("a message came")
				}
				return stream.Err()
			},
			"a stream that has begun": func(t *testing.T, link *plugmuxtest.Link) error {
				stream, err := kvClient(link).Watch(testContext(t), &kvv1.WatchRequest{})
				if err != nil || !stream.Receive() || string(stream.Msg().GetValue()) != "first" {
					t.Fatal(err, stream.Err())
				}
				if stream.Receive() {
					t.Error("a second message came")
				}
				return stream.Err()
			},
			"secrets": func(t *testing.T, link *plugmuxtest.Link) error {
				resolver := resolverv1connect.NewResolverServiceClient(link.Client(), plugmuxtest.BaseURL)
				_, err := resolver.GetSecrets(testContext(t), &resolverv1.GetSecretsRequest{Pattern: "a"})
				return err
			},
			"plain HTTP": func(t *testing.T, link *plugmuxtest.Link) error {
				response, err := link.Client().Post(plugmuxtest.BaseURL+"/plain", "text/plain", nil)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if response.StatusCode != http.StatusInternalServerError {
					t.Error(response.Status)
				}
				return connect.NewError(connect.CodeInternal, errHandlerFailed)
			},
			"an instance": func(t *testing.T, link *plugmuxtest.Link) error {
				instances := plugmuxv1connect.NewInstanceServiceClient(link.Client(), plugmuxtest.BaseURL)
				_, err := instances.Open(testContext(t), &plugmuxv1.OpenRequest{})
				return err
			},
		}
		for kind, call := range calls {
			t.Run(kind+" by "+name, func(t *testing.T) {
				records := collectLogs(t)
				instances := &Instances[struct{}]{Open: func(context.Context, struct{}) ([]Servable, error) {
					ending.end()
					return nil, nil
				}}
				link, _ := run(t, plugmuxtest.Options{}, Config{},
					panicking(ending.end, kind == "a stream").servable(), instances.Servable(),
					Secrets("a", func(context.Context, Pattern) ([]Secret, error) { ending.end(); return nil, nil }),
					Handler("/plain", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Length", "5")
						ending.end()
					})),
				)
				registered(t, link)
				err := call(t, link)
				if connect.CodeOf(err) != connect.CodeInternal || !strings.Contains(err.Error(), "log") {
					t.Error(err)
				}
				told := records.errors(t)
				if len(told) != 1 || !strings.Contains(told[0]["panic"], ending.says) || !strings.Contains(told[0]["stack"], "recover_test.go") {
					t.Error(told)
				}
				if got := fetch(t, link, healthPath); got != "ok" {
					t.Error("the link is not what it was:", got)
				}
				if open := instances.count.Load(); open != 0 {
					t.Error(open, "instances count as open")
				}
			})
		}
	}
}

// panicking is a service whose handlers end so, that of a stream before or behind the first message.
func panicking(end func(), before bool) kv {
	return kv{
		get: func(context.Context) ([]byte, error) { end(); return nil, nil },
		watch: func(_ context.Context, stream *connect.ServerStream[kvv1.WatchResponse]) error {
			if !before {
				if err := stream.Send(&kvv1.WatchResponse{Value: []byte("first")}); err != nil {
					return err
				}
			}
			end()
			return nil
		},
	}
}

func TestARawStreamWhoseHandlerPanicsEnds(t *testing.T) {
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			records := collectLogs(t)
			link, _ := run(t, plugmuxtest.Options{}, Config{}, RawStream("s", func(context.Context, *Stream) { ending.end() }))
			registered(t, link)
			stream := openStream(t, link, "/stream/s")
			if got, err := io.ReadAll(stream); len(got) != 0 {
				t.Error(got, err)
			}
			if got := fetch(t, link, healthPath); got != "ok" {
				t.Error(got)
			}
			for ctx := testContext(t); len(records.errors(t)) == 0 && ctx.Err() == nil; {
				pause(ctx, time.Millisecond) // the stream ends before the record is written
			}
			if told := records.errors(t); len(told) != 1 || !strings.Contains(told[0]["panic"], ending.says) {
				t.Error(told)
			}
		})
	}
}

func TestAResponseThatHasBegunIsBrokenOffByAPanic(t *testing.T) {
	collectLogs(t)
	link, _ := run(t, plugmuxtest.Options{}, Config{}, Handler("/plain", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		panic("half way")
	})))
	registered(t, link)
	response, err := link.Client().Get(plugmuxtest.BaseURL + "/plain")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestAnObjectThatPanicsWhenItIsReleasedDoesNotEndThePlugin(t *testing.T) {
	records := collectLogs(t)
	released := make(chan string, 2)
	references := make(chan string, 1)
	link, ended := run(t, plugmuxtest.Options{}, Config{}, kv{get: func(ctx context.Context) ([]byte, error) {
		reference, err := Lend(ctx,
			OnRelease(func() { released <- "first"; panic("cannot clean up") }),
			OnRelease(func() { released <- "second" }))
		references <- reference
		return nil, err
	}}.servable())
	registered(t, link)
	for range 2 { // one object is released by the peer, the other by the end of the link
		if _, err := kvClient(link).Get(testContext(t), &kvv1.GetRequest{}); err != nil {
			t.Fatal(err)
		}
		if reference := <-references; len(references) == 0 && len(records.errors(t)) == 0 {
			client := plugmuxv1connect.NewReferenceServiceClient(link.Client(), plugmuxtest.BaseURL)
			if _, err := client.Release(testContext(t), &plugmuxv1.ReleaseRequest{Reference: reference}); err != nil {
				t.Error(err)
			}
		} else if err := link.Shutdown(testContext(t)); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"first", "second"} {
			if got := <-released; got != want {
				t.Error(got)
			}
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if told := records.errors(t); len(told) != 2 {
		t.Error(told)
	}
}

func TestAHandlerThatPanicsTellsItsStackWhereTheRuntimeAsksForIt(t *testing.T) {
	collectLogs(t)
	for _, debug := range []bool{false, true} {
		end := func() { panic("no shelf") }
		link, _ := run(t, plugmuxtest.Options{Response: &pluginsv1.RegisterPluginResponse{Debug: debug}}, Config{},
			panicking(end, false).servable())
		registered(t, link)
		_, err := kvClient(link).Get(testContext(t), &kvv1.GetRequest{})
		told := strings.Contains(err.Error(), "no shelf") && strings.Contains(err.Error(), "recover_test.go")
		if connect.CodeOf(err) != connect.CodeInternal || told != debug {
			t.Errorf("with debug %v it told %v", debug, err)
		}
	}
}
