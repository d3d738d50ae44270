package plugmux

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	"plugmux.dev/go/plugmuxtest"
)

func gzipped(data []byte) []byte {
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	_, _ = writer.Write(data)
	_ = writer.Close()
	return compressed.Bytes()
}

func envelope(flags byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data))), data...)
}

func TestABodyGivesTheMessagesWithinTheLimit(t *testing.T) {
	limit := messageLimit{bytes: 1000}
	fits, tooLarge := bytes.Repeat([]byte("x"), 1000), bytes.Repeat([]byte("x"), 1001)
	stream := http.Header{"Content-Type": {"application/connect+proto"}, "Connect-Content-Encoding": {"gzip"}}
	unary := http.Header{"Content-Type": {"application/proto"}}
	compressed := http.Header{"Content-Type": {"application/proto"}, "Content-Encoding": {"gzip"}}
	three := bytes.Join([][]byte{envelope(0, fits), envelope(1, gzipped(fits)), envelope(2, []byte("{}"))}, nil)
	plain := bytes.Join([][]byte{envelope(0, fits), envelope(0, fits), envelope(2, []byte("{}"))}, nil)
	for name, c := range map[string]struct {
		header     http.Header
		data, want []byte
		code       connect.Code
	}{
		"one message":                        {unary, fits, fits, 0},
		"none":                               {unary, nil, nil, 0},
		"one that is too large":              {unary, tooLarge, nil, connect.CodeResourceExhausted},
		"compressed":                         {compressed, gzipped(fits), fits, 0},
		"compressed, and empty":              {compressed, nil, nil, 0},
		"too large when decompressed":        {compressed, gzipped(tooLarge), nil, connect.CodeResourceExhausted},
		"not compressed as it says":          {compressed, fits, nil, connect.CodeInvalidArgument},
		"cut":                                {compressed, gzipped(fits)[:20], nil, connect.CodeInvalidArgument},
		"messages":                           {stream, three, plain, 0},
		"an empty one":                       {stream, envelope(1, nil), envelope(0, nil), 0},
		"one of several is too large":        {stream, append(envelope(0, fits), envelope(0, tooLarge)...), nil, connect.CodeResourceExhausted},
		"one decompressed is too large":      {stream, envelope(1, gzipped(tooLarge)), nil, connect.CodeResourceExhausted},
		"one promises more than it may":      {stream, []byte{0, 255, 255, 255, 255}, nil, connect.CodeResourceExhausted},
		"one of several is not what it says": {stream, envelope(1, fits), nil, connect.CodeInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 7, 1 << 20} {
				body := limit.body(c.header.Clone(), io.NopCloser(&slowReader{bytes.NewReader(c.data), step}), -1)
				got, err := io.ReadAll(body)
				if c.code != 0 {
					if connect.CodeOf(err) != c.code {
						t.Error(err)
					}
				} else if err != nil || !bytes.Equal(got, c.want) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
}

// slowReader gives a few bytes at a time.
type slowReader struct {
	io.Reader
	step int
}

func (r *slowReader) Read(data []byte) (int, error) {
	return r.Reader.Read(data[:min(len(data), r.step)])
}

func TestAMessageOverTheLimitIsResourceExhausted(t *testing.T) {
	host, _ := run(t, plugmuxtest.Options{}, Config{Limits: Limits{MaxMessageBytes: 1000}}, kv{}.servable())
	registered(t, host)
	for name, options := range map[string][]connect.ClientOption{
		"proto": nil, "json": {connect.WithProtoJSON()}, "gzip": {connect.WithSendGzip()}, "gRPC-Web": {connect.WithGRPCWeb()},
	} {
		client := kvv1connect.NewKeyValueServiceClient(host.Client(), plugmuxtest.BaseURL, options...)
		_, err := client.Put(testContext(t), &kvv1.PutRequest{Value: make([]byte, 2000)})
		if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "Config.Limits.MaxMessageBytes") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := client.Put(testContext(t), &kvv1.PutRequest{Value: make([]byte, 500)}); connect.CodeOf(err) != connect.CodeUnimplemented {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAUnaryCallWhoseBodyDoesNotComeEndsAtItsDeadline(t *testing.T) {
	host, _ := run(t, plugmuxtest.Options{}, Config{}, kv{get: func(ctx context.Context) ([]byte, error) { return nil, ctx.Err() }}.servable())
	registered(t, host)
	for name, header := range map[string]http.Header{
		"plain": {"Content-Type": {"application/proto"}},
		"gzip":  {"Content-Type": {"application/proto"}, "Content-Encoding": {"gzip"}},
	} {
		body, rest := io.Pipe()
		request := must(http.NewRequestWithContext(testContext(t), http.MethodPost, plugmuxtest.BaseURL+kvv1connect.KeyValueServiceGetProcedure, body))
		request.Header = header
		request.Header.Set("Connect-Timeout-Ms", "50")
		response, err := host.Client().Do(request)
		if err != nil {
			t.Fatal(name, err)
		}
		answer := must(io.ReadAll(response.Body))
		_ = rest.Close()
		if response.StatusCode != http.StatusGatewayTimeout || !bytes.Contains(answer, []byte("deadline_exceeded")) {
			t.Errorf("%s: %d %s", name, response.StatusCode, answer)
		}
	}
	if _, err := kvClient(host).Get(testContext(t), &kvv1.GetRequest{}); err != nil {
		t.Error(err)
	}
}

func TestAnAnswerOverTheLimitIsResourceExhausted(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(kvv1connect.NewKeyValueServiceHandler(kv{get: func(context.Context) ([]byte, error) { return make([]byte, 2000), nil }}))
	client := kvv1connect.NewKeyValueServiceClient(Host, HostURL)
	service := kv{get: func(ctx context.Context) ([]byte, error) {
		_, err := client.Get(ctx, &kvv1.GetRequest{})
		return nil, err
	}}
	host, _ := run(t, plugmuxtest.Options{Handler: mux}, Config{Limits: Limits{MaxMessageBytes: 1000}}, service.servable())
	registered(t, host)
	if _, err := kvClient(host).Get(testContext(t), &kvv1.GetRequest{}); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Error(err)
	}
}

func TestTheMessageOfAGetIsBounded(t *testing.T) {
	for content, code := range map[string]connect.Code{strings.Repeat("x", 1000): 0, strings.Repeat("x", 1001): connect.CodeResourceExhausted} {
		query := url.Values{"connect": {"v1"}, "encoding": {"proto"}, "compression": {"gzip"}, "base64": {"1"}}
		query.Set("message", base64.RawURLEncoding.EncodeToString(gzipped([]byte(content))))
		request := httptest.NewRequest(http.MethodGet, "/a.B/C?"+query.Encode(), nil)
		changed, err := messageLimit{bytes: 1000}.query(request)
		if code != 0 {
			if connect.CodeOf(err) != code {
				t.Error(err)
			}
			continue
		}
		got := must(url.ParseQuery(changed))
		if message := must(base64.RawURLEncoding.DecodeString(got.Get("message"))); err != nil || string(message) != content || got.Has("compression") {
			t.Error(changed, err)
		}
	}
}

func TestAStreamOfRequestsThatStallsEndsAtItsDeadline(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{})
	registered(t, link)
	stalled, _ := io.Pipe()
	request, err := http.NewRequestWithContext(testContext(t), http.MethodPost,
		plugmuxtest.BaseURL+"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", stalled)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/connect+proto")
	request.Header.Set("Connect-Timeout-Ms", "50")
	response, err := link.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(text), `"deadline_exceeded"`) {
		t.Error(string(text), err)
	}
}
