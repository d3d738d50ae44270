package plugmux

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
)

const lastRequest = "GET /last HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n"

// post returns a call, with further lines of its head.
func post(path, body string, lines ...string) string {
	head := append([]string{"POST " + path + " HTTP/1.1", "host: unix", "content-type: application/json",
		fmt.Sprint("content-length: ", len(body))}, lines...)
	return strings.Join(head, "\r\n") + "\r\n\r\n" + body
}

// way is how a request has been served.
type way int

const (
	none way = iota
	byServer
	fast
	takenOver
)

// pathHandler answers as the path of the request says, and tells how it was served.
type pathHandler struct {
	served atomic.Int64 // the way of the last request
}

func (h *pathHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/last" {
		return
	}
	response, isFast := w.(*watchedResponse).ResponseWriter.(*fastResponse)
	defer func() {
		switch {
		case !isFast:
			h.served.Store(int64(byServer))
		case response.other != nil:
			h.served.Store(int64(takenOver))
		default:
			h.served.Store(int64(fast))
		}
	}()
	controller, header := http.NewResponseController(w), w.Header()
	switch r.URL.Path {
	case "/echo":
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %s %s %s %s %d %d %v %v %q %v", r.Method, r.URL, r.Proto, r.Host, r.RequestURI, r.RemoteAddr,
			r.ContentLength, len(r.Header), r.Close, r.TransferEncoding, body, err)
		for _, name := range []string{"Content-Type", "Content-Length", "Connection", "Connect-Protocol-Version", "X-Odd"} {
			fmt.Fprint(w, "\n", name, r.Header[name])
		}
		_, err = r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, "\n", err, r.Body.Close())
		_, err = r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, "\n", err, r.Context().Err(), r.Context().Value(http.LocalAddrContextKey),
			r.Context().Value(http.ServerContextKey).(*http.Server).MaxHeaderBytes)
	case "/unread":
		header.Set("content-type", "application/json")
		_, _ = io.WriteString(w, "{}")
	case "/empty":
	case "/error":
		http.Error(w, "wrong", http.StatusTeapot)
	case "/odd-status":
		w.WriteHeader(799)
	case "/fields":
		header["X-Two"] = []string{"1", " 2\r\nX-Not: 3 "}
		header["Date"] = nil
		header.Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusAccepted)
		header.Set("X-Late", "not sent")
		_, _ = io.WriteString(w, "data")
	case "/exact":
		_, _ = w.Write(make([]byte, maxBufferedBytes))
	case "/no-status":
		w.WriteHeader(42)
	case "/twice":
		w.WriteHeader(http.StatusOK)
		w.WriteHeader(http.StatusTeapot)
	case "/large":
		_, _ = io.WriteString(w, "first ")
		header.Set("X-Late", "not sent")
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
		_, _ = w.Write(bytes.Repeat([]byte("y"), 100))
	case "/flushed":
		_, _ = io.WriteString(w, "first ")
		fmt.Fprint(w, controller.Flush())
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%q %v", body, err)
	case "/read-and-flushed":
		first := make([]byte, 2)
		_, _ = io.ReadFull(r.Body, first)
		fmt.Fprint(w, controller.EnableFullDuplex(), controller.Flush())
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%q %q %v", first, body, err)
	case "/length":
		header.Set("Content-Length", "4")
		n, err := io.WriteString(w, "12345")
		_, _ = io.WriteString(w, fmt.Sprint(n, err == http.ErrContentLength)[:4])
	case "/short":
		header.Set("Content-Length", "4")
		_, _ = io.WriteString(w, "12")
	case "/none":
		w.WriteHeader(http.StatusNoContent)
		_, err := io.WriteString(w, "12")
		header.Set("X-Error", fmt.Sprint(err))
	case "/hints":
		header.Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		header.Del("Link")
		_, _ = io.WriteString(w, "12")
	case "/trailers":
		header.Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "12")
		header.Set("X-Sum", "3")
		header.Set(http.TrailerPrefix+"X-More", "4")
	case "/late-trailer":
		_, _ = w.Write(make([]byte, maxBufferedBytes+1))
		header.Set(http.TrailerPrefix+"X-More", "4")
	case "/identity":
		header.Set("Transfer-Encoding", "identity")
		_, _ = io.WriteString(w, "12")
	case "/close":
		header.Set("Connection", "close")
		_, _ = io.WriteString(w, "12")
	case "/hijacked":
		conn, buffered, err := controller.Hijack()
		if err != nil {
			panic(err)
		}
		rest, _ := io.ReadAll(io.LimitReader(buffered, r.ContentLength))
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(rest), rest)
		_, err = w.Write([]byte("x"))
		if !errors.Is(err, http.ErrHijacked) {
			panic(err)
		}
		_ = conn.Close()
	case "/abort":
		_, _ = io.WriteString(w, "12")
		panic(http.ErrAbortHandler)
	case "/abort-late":
		_, _ = io.WriteString(w, "12")
		_ = controller.Flush()
		panic(http.ErrAbortHandler)
	case "/panic":
		panic("wrong")
	case "/panic-late":
		_, _ = io.WriteString(w, "12")
		panic("wrong")
	case "/goexit":
		runtime.Goexit()
	case "/goexit-late":
		_ = controller.Flush()
		runtime.Goexit()
	case "/deadline":
		err := errors.Join(controller.SetReadDeadline(time.Now().Add(time.Hour)), controller.SetWriteDeadline(time.Time{}))
		fmt.Fprint(w, err)
	}
}

// served serves a handler on the streams of a session, by a link or by net/http alone, and returns the session of the peer.
func served(t *testing.T, handler http.Handler, byLink bool) *yamux.Session {
	t.Helper()
	ours, theirs := net.Pipe()
	config := yamux.DefaultConfig()
	config.LogOutput, config.Logger = nil, slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	peer := must(yamux.Server(theirs, config))
	if byLink {
		link := newLink(t.Context(), ours, handler, Limits{CloseTimeout: time.Minute}.orDefault())
		link.gate.resolve(nil, nil)
		t.Cleanup(link.close)
	} else {
		server := &http.Server{
			Handler:        duplex(recoverPanics(handler, &atomic.Bool{})),
			MaxHeaderBytes: maxRequestHeaderBytes,
			ErrorLog:       slog.NewLogLogger(slog.Default().Handler(), slog.LevelError),
		}
		session := must(yamux.Client(struct{ io.ReadWriteCloser }{ours}, muxConfig())) // has no address, as that of a link
		go func() { _ = server.Serve(session) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	t.Cleanup(func() { _ = peer.Close() })
	return peer
}

var dates = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)

// responses sends pieces of a request, reads the response and sends one more request. It returns all that it has received.
func responses(t *testing.T, peer *yamux.Session, pieces []string) string {
	t.Helper()
	conn := must(peer.Open())
	defer conn.Close()
	for _, piece := range pieces {
		_, _ = io.WriteString(conn, piece)
	}
	var received bytes.Buffer
	reader := bufio.NewReader(io.TeeReader(conn, &received))
	method, _, _ := strings.Cut(pieces[0], " ")
	if response, err := http.ReadResponse(reader, &http.Request{Method: method}); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
	}
	_, _ = io.WriteString(conn, lastRequest)
	_, _ = io.Copy(io.Discard, reader)
	return dates.ReplaceAllString(received.String(), "Date: now")
}

func TestTheFastPathAnswersAsNetHTTPDoes(t *testing.T) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	for name, c := range map[string]struct {
		request string
		want    way
	}{
		"a call":                        {post("/echo", "{}"), fast},
		"without a body":                {post("/echo", ""), fast},
		"with further fields":           {post("/echo", "{}", "connect-protocol-version: 1", "X-Odd: \t a\"b, c \t"), fast},
		"a body with lines":             {post("/echo", "\r\n\r\n{}\r\n"), fast},
		"keep-alive":                    {post("/echo", "{}", "Connection: Keep-Alive"), fast},
		"close":                         {post("/echo", "{}", "Connection: close"), fast},
		"a path to be cleaned":          {post("/a/../echo", "{}"), fast},
		"a body that is not read":       {post("/unread", "{}"), fast},
		"an empty response":             {post("/empty", "{}"), fast},
		"an error":                      {post("/error", "{}"), fast},
		"a status without a name":       {post("/odd-status", "{}"), fast},
		"fields of the response":        {post("/fields", "{}"), fast},
		"as much as is held back":       {post("/exact", "{}"), fast},
		"a status that is none":         {post("/no-status", "{}"), takenOver},
		"a status twice":                {post("/twice", "{}"), takenOver},
		"a large response":              {post("/large", "{}"), takenOver},
		"a large response, then close":  {post("/large", "{}", "Connection: close"), takenOver},
		"a flush":                       {post("/flushed", "{}"), takenOver},
		"a flush of a part":             {post("/read-and-flushed", "[0, 1]"), takenOver},
		"a flush of all":                {post("/read-and-flushed", "[]"), takenOver},
		"a length":                      {post("/length", "{}"), takenOver},
		"a length that is too large":    {post("/short", "{}"), takenOver},
		"no content":                    {post("/none", "{}"), takenOver},
		"early hints":                   {post("/hints", "{}"), takenOver},
		"trailers":                      {post("/trailers", "{}"), takenOver},
		"a trailer that comes late":     {post("/late-trailer", "{}"), takenOver},
		"a body that the end closes":    {post("/identity", "{}"), takenOver},
		"a handler that closes":         {post("/close", "{}"), takenOver},
		"a hijacked connection":         {post("/hijacked", "{}"), takenOver},
		"a hijacked call without body":  {post("/hijacked", ""), takenOver},
		"deadlines":                     {post("/deadline", "{}"), takenOver},
		"a handler that aborts":         {post("/abort", "{}"), fast},
		"a handler that aborts late":    {post("/abort-late", "{}"), takenOver},
		"a panic":                       {post("/panic", "{}"), fast},
		"a panic after the first bytes": {post("/panic-late", "{}"), fast},
		"an exit":                       {post("/goexit", "{}"), fast},
		"an exit after the first bytes": {post("/goexit-late", "{}"), takenOver},

		"GET":                       {"GET /echo HTTP/1.1\r\nHost: unix\r\n\r\n", byServer},
		"HEAD":                      {"HEAD /large HTTP/1.1\r\nHost: unix\r\n\r\n", byServer},
		"HTTP/1.0":                  {strings.Replace(post("/echo", "{}"), "1.1", "1.0", 1), byServer},
		"a query":                   {post("/echo?a=b", "{}"), byServer},
		"an escape":                 {post("/ech%6f", "{}"), byServer},
		"two slashes":               {post("//echo", "{}"), byServer},
		"another type":              {strings.Replace(post("/echo", "{}"), "/json", "/text", 1), byServer},
		"a stream":                  {strings.Replace(post("/echo", "{}"), "/json", "/connect+json", 1), byServer},
		"a field that stands twice": {post("/echo", "{}", "X-Odd: 1", "x-odd: 2"), byServer},
		"a field without a value":   {post("/echo", "{}", "X-Odd:"), byServer},
		"a field beyond ASCII":      {post("/echo", "{}", "X-Odd: \xe4"), byServer},
		"a folded field":            {post("/echo", "{}", "X-Odd: 1", " 2"), byServer},
		"an odd name":               {post("/echo", "{}", "X_Odd: 1"), byServer},
		"no caching":                {post("/echo", "{}", "Pragma: no-cache"), byServer},
		"an upgrade":                {post("/echo", "{}", "Connection: upgrade", "Upgrade: x"), byServer},
		"100-continue":              {post("/echo", "{}", "Expect: 100-continue"), byServer},
		"chunks":                    {strings.Replace(post("/echo", "2\r\n{}\r\n0\r\n\r\n"), "content-length: 12", "transfer-encoding: chunked", 1), byServer},
		"a length with zeros":       {strings.Replace(post("/echo", "{}"), "length: 2", "length: 02", 1), byServer},
		"a large request":           {post("/echo", strings.Repeat(" ", 100_000)+"{}"), byServer},
		"a large head":              {post("/echo", "{}", "X-Odd: "+strings.Repeat("x", 5000)), byServer},
		"a head beyond the bound":   {post("/echo", "{}", "X-Odd: "+strings.Repeat("x", maxRequestHeaderBytes+5000)), none},
		"two calls at once":         {post("/echo", "{}") + post("/empty", "{}"), byServer},
		"lines without CR":          {strings.ReplaceAll(post("/echo", "{}"), "\r", ""), byServer},
		"no host":                   {strings.Replace(post("/echo", "{}"), "host: unix\r\n", "", 1), none},
		"an odd host":               {strings.Replace(post("/echo", "{}"), ": unix", ": u nix", 1), none},
		"two lengths":               {post("/echo", "{}", "Content-Length: 3"), none},
		"no HTTP":                   {"hello\r\n\r\n", none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, reference := &pathHandler{}, &pathHandler{}
			byNetHTTP := served(t, reference, false)
			byLink := served(t, handler, true)
			want := responses(t, byNetHTTP, []string{c.request})
			if got := responses(t, byLink, []string{c.request}); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			for c.want != none && way(handler.served.Load()) == none {
				runtime.Gosched() // a handler that hijacks has not returned when the response is there
			}
			if got := way(handler.served.Load()); got != c.want {
				t.Error("served in the way", got, "in place of", c.want)
			}
			head, body, _ := strings.Cut(c.request, "\r\n\r\n")
			for _, pieces := range [][]string{{head + "\r\n\r\n", body}, {head[:5], head[5:], "\r\n\r\n" + body}, {head + "\r\n", "\r\n", body}} {
				want := responses(t, byNetHTTP, pieces)
				if got := responses(t, byLink, pieces); got != want {
					t.Errorf("%d pieces:\ngot  %q\nwant %q", len(pieces), got, want)
				}
			}
		})
	}
}

func TestAStreamServesSeveralCallsInTurn(t *testing.T) {
	handler := &pathHandler{}
	conn := must(served(t, handler, true).Open())
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i, want := range []struct {
		path string
		way  way
	}{{"/echo", fast}, {"/goexit", fast}, {"/echo", fast}, {"/large", takenOver}, {"/echo", byServer}, {"/empty", byServer}} {
		if _, err := io.WriteString(conn, post(want.path, "{}")); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Error(i, err)
		}
		if got := way(handler.served.Load()); got != want.way {
			t.Error(i, "served in the way", got, "in place of", want.way)
		}
	}
}

// The context of a call ends when the caller leaves, whoever serves it.
func TestTheContextOfACallOnTheFastPathEnds(t *testing.T) {
	leavings := map[string]func(*yamux.Session, net.Conn){
		"the caller ends the stream": func(_ *yamux.Session, conn net.Conn) { _ = conn.Close() },
		"the link ends":              func(peer *yamux.Session, _ net.Conn) { _ = peer.Close() },
	}
	for name, leave := range leavings {
		for _, flushes := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", flushed: ", flushes), func(t *testing.T) {
				begun, ended := make(chan struct{}), make(chan error)
				peer := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.ReadAll(r.Body)
					if flushes {
						_ = http.NewResponseController(w).Flush()
					}
					close(begun)
					<-r.Context().Done()
					ended <- r.Context().Err()
				}), true)
				conn := must(peer.Open())
				_, _ = io.WriteString(conn, post("/wait", "{}"))
				<-begun
				leave(peer, conn)
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
	}
}

func TestTheContextOfACallEndsWithAReset(t *testing.T) {
	memory := newLinkMemory(Limits{}.orDefault())
	memory.register()
	for id, c := range map[uint32]struct {
		payload int64
		flags   uint16
		left    bool
	}{
		2: {0, flagFIN, true},
		4: {0, flagRST, true},
		6: {10, flagFIN, false}, // another request, which the caller waits for
		8: {10, flagRST, true},
	} {
		if _, err := memory.receive(id, flagSYN, 0, 0); err != nil {
			t.Fatal(err)
		}
		left := false
		memory.watch(id, func() { left = true })
		if _, err := memory.receive(id, c.flags, c.payload, c.payload); err != nil || left != c.left {
			t.Error(id, left, err)
		}
	}
	ended := make(chan struct{})
	memory.watch(2, func() { close(ended) })
	<-ended
	left := false
	if _, err := memory.receive(10, flagSYN, 0, 0); err != nil {
		t.Fatal(err)
	}
	memory.watch(10, func() { left = true })
	memory.watch(10, nil)
	memory.close()
	if left {
		t.Error("a watch that has ended was called")
	}
}

// A handler that outlives its link delays the end of the link, and no longer than for CloseTimeout.
func TestALinkWaitsForTheHandlersOfTheFastPath(t *testing.T) {
	t.Run("until they return", func(t *testing.T) { closeBeforeTheHandler(t, time.Minute, true) })
	t.Run("until CloseTimeout", func(t *testing.T) { closeBeforeTheHandler(t, time.Millisecond, false) })
}

func closeBeforeTheHandler(t *testing.T, timeout time.Duration, returns bool) {
	ours, theirs := net.Pipe()
	peer := must(yamux.Server(theirs, yamux.DefaultConfig()))
	begun, wait := make(chan struct{}), make(chan struct{})
	var returned atomic.Bool
	link := newLink(t.Context(), ours, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-wait
		returned.Store(true)
	}), Limits{CloseTimeout: timeout}.orDefault())
	link.gate.resolve(nil, nil)
	conn := must(peer.Open())
	_, _ = io.WriteString(conn, post("/wait", "{}"))
	<-begun
	_ = peer.Close()
	closed := make(chan struct{})
	go func() {
		link.close()
		close(closed)
	}()
	<-link.session.CloseChan()
	<-link.accepting
	if returns {
		close(wait)
	} else {
		defer close(wait)
	}
	<-closed
	if returned.Load() != returns {
		t.Error("the handler has returned:", returned.Load())
	}
}

func TestACallOnTheFastPathEndsAtItsDeadline(t *testing.T) {
	service := kv{get: func(ctx context.Context) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	conn := must(served(t, newLinkApp(&pluginsv1.RegisterPluginRequest{}, []Servable{service.servable()}), true).Open())
	defer conn.Close()
	_, _ = io.WriteString(conn, post("/"+kvv1connect.KeyValueServiceName+"/Get", "{}", "connect-timeout-ms: 1"))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusGatewayTimeout {
		t.Error(response, err)
	}
}

// A goroutine that a handler leaves behind breaks nothing.
func TestAResponseThatHasEndedIsNotTakenOver(t *testing.T) {
	ended := make(chan http.ResponseWriter, 1)
	peer := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/kept" {
			ended <- w
		}
	}), true)
	conn := must(peer.Open())
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for _, path := range []string{"/kept", "/next"} {
		_, _ = io.WriteString(conn, post(path, "{}"))
		if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response, err)
		}
		if path == "/kept" {
			w := <-ended
			if _, err := w.Write(make([]byte, maxBufferedBytes+1)); err == nil {
				t.Error("written")
			}
		}
	}
}

// FuzzWholeRequest holds that a request which is taken for a plain one is, by net/http, that request and no other.
func FuzzWholeRequest(f *testing.F) {
	f.Add([]byte(post("/a.b/c", "{}", "X-Odd: \t a \t", "Connection: close")))
	f.Add([]byte(post("/a.b/c", "\r\n\r\n")))
	f.Add([]byte(post("/a.b/c", "{}", "Content-Length: 2")))
	f.Add([]byte(post("/a.b/c", "2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked")))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, ok := parseWholeRequest(data)
		if !ok {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(data))
		want, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(want.Body)
		if err != nil || reader.Buffered() > 0 || !bytes.Equal(parsed.body, body) {
			t.Error(err, reader.Buffered(), body)
		}
		got := parsed.toHTTP(t.Context(), nil, "")
		want.Body, got.Body = nil, nil
		if want = want.WithContext(t.Context()); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v in place of %+v", got, want)
		}
	})
}

// BenchmarkCall compares the two ways to serve a small call, 16 in flight: `go test -run none -bench Call ./go`. The peer is
// made of frames, so that most of the processor time is the plugin's.
func BenchmarkCall(b *testing.B) {
	for name, line := range map[string]string{"fast path": "x: 1", "net/http": "pragma: x"} {
		b.Run(name, func(b *testing.B) {
			service := kv{get: func(context.Context) ([]byte, error) { return []byte("value"), nil }}
			request := post("/"+kvv1connect.KeyValueServiceName+"/Get", "\n\x01a", "connect-protocol-version: 1", line)
			request = strings.Replace(request, "/json", "/proto", 1)
			benchmarkCalls(b, newLinkApp(&pluginsv1.RegisterPluginRequest{}, []Servable{service.servable()}), request)
		})
	}
}

func benchmarkCalls(b *testing.B, handler http.Handler, request string) {
	const inFlight = 16
	listener := must(net.Listen("unix", b.TempDir()+"/s"))
	theirs := must(net.Dial("unix", listener.Addr().String()))
	link := newLink(b.Context(), must(listener.Accept()), handler, Limits{}.orDefault())
	link.gate.resolve(nil, nil)
	link.memory.register()
	b.ReportAllocs()
	b.ResetTimer()
	reader, stream, done := bufio.NewReader(theirs), uint32(0), 0
	next := func() (frame []byte) {
		if int(stream/2) < b.N {
			stream += 2
			frame = frameOf(frameData, flagSYN, stream, []byte(request))
		}
		return frame
	}
	for range inFlight {
		_, _ = theirs.Write(next())
	}
	for header := make([]byte, headerBytes); done < b.N; {
		if _, err := io.ReadFull(reader, header); err != nil {
			b.Fatal(err)
		}
		kind, _, id, length := parseHeader(header)
		if kind != frameData {
			continue
		}
		status := make([]byte, 12)
		_, _ = io.ReadFull(reader, status)
		if _, err := reader.Discard(int(length) - len(status)); err != nil || string(status) != "HTTP/1.1 200" {
			b.Fatal(string(status), err)
		}
		done++
		if _, err := theirs.Write(append(frameOf(frameWindowUpdate, flagFIN, id, nil), next()...)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	_ = theirs.Close()
	link.close()
}
