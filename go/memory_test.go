package plugmux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/go/plugmuxtest"
)

// linkIn sends the plugin's end of a link, which a handler finds in its context.
func linkIn(links chan<- *link) Servable {
	return Handler("/link", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		links <- must(linkOf(r.Context()))
	}))
}

func pluginsEnd(t *testing.T, host *plugmuxtest.Link, links <-chan *link) *link {
	t.Helper()
	fetch(t, host, "/link")
	return <-links
}

// unread returns the streams that are counted and the unread bytes.
func unread(l *link) (streams int, bytes int64) {
	l.memory.lock.Lock()
	defer l.memory.lock.Unlock()
	return len(l.memory.streams), max(l.memory.total, l.memory.accepted, l.memory.reserved)
}

func awaitNothing(t *testing.T, l *link) {
	t.Helper()
	for ctx := testContext(t); ; {
		streams, bytes := unread(l)
		if streams == 0 && bytes == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%d streams and %d bytes are still counted", streams, bytes)
		}
		pause(ctx, 1e6)
	}
}

func TestMemoryIsReleasedWhenItHasBeenRead(t *testing.T) {
	links := make(chan *link, 1)
	service := kv{
		get: func(context.Context) ([]byte, error) { return bytes.Repeat([]byte("x"), 1<<20), nil },
		watch: func(_ context.Context, stream *connect.ServerStream[kvv1.WatchResponse]) error {
			return stream.Send(&kvv1.WatchResponse{})
		},
	}
	host, _ := run(t, plugmuxtest.Options{}, Config{}, linkIn(links), service.servable(),
		RawStream("shout", upperCase), RawStream("deaf", func(context.Context, *Stream) {}))
	registered(t, host)
	for range 20 {
		if _, err := kvClient(host).Put(testContext(t), &kvv1.PutRequest{Value: bytes.Repeat([]byte("x"), 1<<20)}); connect.CodeOf(err) != connect.CodeUnimplemented {
			t.Fatal(err)
		}
		if _, err := kvClient(host).Get(testContext(t), &kvv1.GetRequest{}); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(testContext(t))
		if stream, err := kvClient(host).Watch(ctx, &kvv1.WatchRequest{}); err != nil || !stream.Receive() {
			t.Fatal(err)
		}
		leave()
		if got, err := converse(openStream(t, host, "/stream/shout")); got != "HELLO" || err != nil {
			t.Fatal(got, err)
		}
		stream := openStream(t, host, "/stream/deaf")
		_, _ = stream.Write(bytes.Repeat([]byte("x"), 100_000))
		_ = stream.Close()
	}
	awaitNothing(t, pluginsEnd(t, host, links))
}

func TestStreamsThatNobodyReadsAreResetBeyondTheBound(t *testing.T) {
	links, blocked := make(chan *link, 1), make(chan struct{})
	host, _ := run(t, plugmuxtest.Options{}, Config{Limits: Limits{MaxLinkMemory: 1 << 20}}, linkIn(links),
		RawStream("deaf", func(context.Context, *Stream) { <-blocked }))
	registered(t, host)
	plugin := pluginsEnd(t, host, links)
	refusals := make(chan error)
	var streams []*Stream
	for range 12 { // each of which may hold a window of 256 KiB: four of them fit
		streams = append(streams, openStream(t, host, "/stream/deaf"))
	}
	for _, stream := range streams {
		defer stream.Close()
		go func() {
			_, err := stream.Write(bytes.Repeat([]byte("x"), streamWindowBytes-8192))
			if err == nil {
				_, err = stream.Read(make([]byte, 1))
			}
			refusals <- err
		}()
	}
	for range 8 {
		if err := <-refusals; !errors.Is(err, yamux.ErrConnectionReset) {
			t.Error(err)
		}
	}
	if _, all := unread(plugin); all > 1<<20 {
		t.Error(all, "bytes are unread")
	}
	close(blocked)
	for range 4 {
		if err := <-refusals; err != io.EOF {
			t.Error(err)
		}
	}
	fetch(t, host, healthPath)
}

func TestStreamsBeyondTheBoundAreRefused(t *testing.T) {
	links, blocked := make(chan *link, 1), make(chan struct{})
	host, _ := run(t, plugmuxtest.Options{}, Config{Limits: Limits{MaxStreams: 3}}, linkIn(links),
		RawStream("s", func(context.Context, *Stream) { <-blocked }))
	registered(t, host)
	plugin := pluginsEnd(t, host, links)
	awaitNothing(t, plugin)
	var streams []*Stream
	for range 3 {
		streams = append(streams, openStream(t, host, "/stream/s"))
	}
	refused := must(host.Session.OpenStream())
	if _, err := refused.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrConnectionReset) {
		t.Error(err)
	}
	close(blocked)
	for _, stream := range streams {
		_ = stream.Close()
	}
	for ctx := testContext(t); ctx.Err() == nil; pause(ctx, 1e6) {
		if response, err := host.Client().Get(plugmuxtest.BaseURL + healthPath); err == nil {
			_ = response.Body.Close()
			return
		}
	}
	t.Error("streams are refused although others have ended")
}

func TestAFrameLargerThanAnyWindowEndsTheLinkBeforeItsPayload(t *testing.T) {
	for name, prepare := range map[string]func(*linkMemory){
		"a new stream":       func(m *linkMemory) { _, _ = m.receive(2, flagSYN, 0, 0) },
		"an accepted stream": func(m *linkMemory) { _, _ = m.receive(2, flagSYN, 0, 0); m.accept(2) },
		"no stream":          func(*linkMemory) {},
	} {
		for _, registered := range []bool{false, true} {
			m := newLinkMemory(Limits{}.orDefault())
			prepare(m)
			m.registered = registered
			if _, err := m.receive(2, 0, 1<<30, 1<<30); err == nil {
				t.Errorf("%s (registered: %v): the frame is waited for", name, registered)
			}
			if _, err := m.receive(2, 0, streamWindowBytes, streamWindowBytes); err != nil {
				t.Errorf("%s (registered: %v): %v", name, registered, err)
			}
		}
	}
}

func TestLittleIsAcceptedBeforeTheRegistration(t *testing.T) {
	const size = 60_000 // of a head that goes on
	early := func(_ context.Context, host *plugmuxtest.Link, _ *pluginsv1.RegisterPluginRequest) error {
		refusals := make(chan error, maxUnregisteredStreams+10)
		for range maxUnregisteredStreams + 10 {
			go func() {
				stream, err := host.Session.OpenStream()
				if err == nil {
					_, err = stream.Write(bytes.Repeat([]byte("x"), size))
				}
				if err == nil {
					_, err = stream.Read(make([]byte, 1))
				}
				refusals <- err
			}()
		}
		for range maxUnregisteredStreams + 10 - maxUnregisteredMemory/size { // ten are too many, and some of the others fill the mebibyte
			if err := <-refusals; !errors.Is(err, yamux.ErrConnectionReset) {
				return fmt.Errorf("a stream that is too many: %w", err)
			}
		}
		return nil
	}
	host, _ := run(t, plugmuxtest.Options{OnRegister: early}, Config{})
	registered(t, host)
}

func TestMessagesThatAreNotCompleteHoldABoundedPart(t *testing.T) {
	links := make(chan *link, 1)
	host, _ := run(t, plugmuxtest.Options{}, Config{Limits: Limits{MaxLinkMemory: 8 << 20, MaxMessageBytes: 2 << 20}}, linkIn(links), kv{}.servable())
	registered(t, host)
	plugin := pluginsEnd(t, host, links)
	var writers []*io.PipeWriter
	ended := make(chan struct{})
	for range 8 { // 8 messages of 1.5 MiB, of which the last byte does not come
		body, writer := io.Pipe()
		writers = append(writers, writer)
		go func() {
			defer func() { ended <- struct{}{} }()
			request := must(http.NewRequest(http.MethodPost, plugmuxtest.BaseURL+kvv1connect.KeyValueServicePutProcedure, body))
			request.Header.Set("Content-Type", "application/proto")
			if response, err := host.Client().Do(request); err == nil {
				_ = response.Body.Close()
			}
		}()
		go func() { _, _ = writer.Write(make([]byte, 1536<<10)) }()
	}
	for ctx := testContext(t); ; pause(ctx, 1e6) {
		plugin.memory.lock.Lock()
		held, waiting := plugin.memory.reserved, plugin.memory.accepted
		plugin.memory.lock.Unlock()
		if held+waiting > 8<<20 {
			t.Error(held, waiting)
		}
		if held > 3<<20 && waiting > 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(held, waiting)
		}
	}
	if got := fetch(t, host, healthPath); got != "ok" { // a small call finds room
		t.Error(got)
	}
	for _, writer := range writers {
		_ = writer.CloseWithError(errors.New("enough"))
	}
	for range writers {
		<-ended
	}
	awaitNothing(t, plugin)
}
