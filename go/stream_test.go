package plugmux

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"plugmux.dev/go/plugmuxtest"
)

// upperCase answers, after the peer has said all, with the same in capitals.
func upperCase(_ context.Context, stream *Stream) {
	text, err := io.ReadAll(stream)
	if err == nil {
		_, _ = io.WriteString(stream, strings.ToUpper(string(text)))
	}
}

// converse says something, half-closes, and reads the answer.
func converse(stream *Stream) (string, error) {
	defer stream.Close()
	if _, err := io.WriteString(stream, "hello"); err != nil {
		return "", err
	}
	if err := stream.CloseWrite(); err != nil {
		return "", err
	}
	text, err := io.ReadAll(stream)
	return string(text), err
}

func openStream(t *testing.T, link *plugmuxtest.Link, path string) *Stream {
	t.Helper()
	conn, err := link.Session.Open()
	if err == nil {
		conn, err = upgrade(testContext(t), conn, "unix", path, streamProtocol)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Stream{conn}
}

func TestTheRuntimeOpensARawStream(t *testing.T) {
	for name, path := range map[string]string{"shout": "/stream/shout", "a/b c": "/stream/a%2Fb%20c"} {
		t.Run(name, func(t *testing.T) {
			link, _ := run(t, plugmuxtest.Options{}, Config{}, RawStream(name, upperCase))
			if got, err := converse(openStream(t, link, path)); got != "HELLO" || err != nil {
				t.Error(got, err)
			}
		})
	}
}

func TestBytesBehindTheRequestAreTheFirstOfTheRawStream(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{}, RawStream("shout", upperCase))
	registered(t, link)
	conn, err := link.Session.Open()
	if err != nil {
		t.Fatal(err)
	}
	request := "GET /stream/shout HTTP/1.1\r\nHost: unix\r\nConnection: Upgrade\r\nUpgrade: plugmux-stream\r\n\r\nhello"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil { // half-closes
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != streamAccepted+"HELLO" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestThePluginOpensARawStream(t *testing.T) {
	linkApp := newLinkApp(nil, []Servable{RawStream("shout", upperCase)})
	results := make(chan string, 1)
	background := func(ctx context.Context) {
		stream, err := OpenStream(ctx, "shout")
		if err != nil {
			results <- err.Error()
			return
		}
		got, err := converse(stream)
		if err != nil {
			got = err.Error()
		}
		results <- got
	}
	run(t, plugmuxtest.Options{Handler: linkApp}, Config{Background: background})
	if got := <-results; got != "HELLO" {
		t.Error(got)
	}
}

func TestAnUnknownRawStreamIsNamed(t *testing.T) {
	linkApp := newLinkApp(nil, nil)
	results := make(chan error, 1)
	background := func(ctx context.Context) {
		_, err := OpenStream(ctx, "x y")
		results <- err
	}
	run(t, plugmuxtest.Options{Handler: linkApp}, Config{Background: background})
	if err := <-results; err == nil || !strings.Contains(err.Error(), `404 Not Found: no raw stream is served under the name "x y"`) {
		t.Error(err)
	}
}

func TestARawStreamNeedsAnUpgrade(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{}, RawStream("shout", upperCase))
	response, err := link.Client().Get(plugmuxtest.BaseURL + "/stream/shout")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUpgradeRequired {
		t.Error(response.Status)
	}
}

func TestARawStreamEndsWithItsLink(t *testing.T) {
	ended := make(chan struct{})
	link, _ := run(t, plugmuxtest.Options{}, Config{}, RawStream("wait", func(ctx context.Context, stream *Stream) {
		_, _ = io.WriteString(stream, "begun")
		<-ctx.Done()
		close(ended)
	}))
	conn, err := link.Session.Open()
	if err == nil {
		conn, err = upgrade(testContext(t), conn, "unix", "/stream/wait", streamProtocol)
	}
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, len("begun")))
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = link.Session.Close()
	<-ended
}

func TestOpeningARawStreamEndsWithItsContextWhereTheRuntimeDoesNotRead(t *testing.T) {
	near, far := net.Pipe() // which takes nothing that is not read
	link := newLink(context.Background(), near, http.NotFoundHandler(), Limits{}.orDefault())
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(withLink(context.Background(), link))
	failed := make(chan error, 1)
	go func() {
		_, err := OpenStream(ctx, "shout")
		failed <- err
	}()
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil { // the stream is being opened
		t.Fatal(err)
	}
	cancel(reason)
	if err := <-failed; !errors.Is(err, reason) {
		t.Error(err)
	}
	_ = far.Close()
	link.close()
}
