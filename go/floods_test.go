package plugmux

import (
	"io"
	"net"
	"testing"
	"time"

	"plugmux.dev/go/plugmuxtest"
)

const (
	framePing   = 2
	frameGoAway = 3
)

// floodedLink is a link whose peer writes frames by hand, and reads whatever comes.
func floodedLink(t *testing.T, limits Limits) (*link, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	p := newPlugin(Config{}, nil)
	l := newLink(t.Context(), near, p.handler, limits.orDefault())
	go func() { _, _ = io.Copy(io.Discard, far) }()
	t.Cleanup(func() {
		_ = far.Close()
		l.gate.resolve(nil, ErrNoRuntime)
		l.close()
	})
	return l, far
}

func TestARuntimeThatOpensAStreamOfThePluginsEndsTheLink(t *testing.T) {
	for _, id := range []uint32{0, 1, 9001} {
		l, peer := floodedLink(t, Limits{})
		_, _ = peer.Write(frameOf(frameWindowUpdate, flagSYN, id, nil))
		select {
		case <-l.session.CloseChan():
		case <-testContext(t).Done():
			t.Error(id)
		}
	}
}

func TestAPeerThatFloodsALinkEndsIt(t *testing.T) {
	stream := func(count int) uint32 { return uint32(2*count + 2) }
	floods := map[string]func(count int) []byte{
		"streams that are opened and reset": func(count int) []byte {
			return append(frameOf(frameWindowUpdate, flagSYN, stream(count), nil), frameOf(frameWindowUpdate, flagRST, stream(count), nil)...)
		},
		"streams that are opened and ended": func(count int) []byte {
			return frameOf(frameWindowUpdate, flagSYN|flagFIN, stream(count), nil)
		},
		"streams that are too many": func(count int) []byte { return frameOf(frameWindowUpdate, flagSYN, stream(count), nil) },
		"pings":                     func(int) []byte { return frameOf(framePing, flagSYN, 0, nil) },
		"answers to no ping":        func(int) []byte { return frameOf(framePing, 2, 0, nil) },
		"go-aways":                  func(int) []byte { return frameOf(frameGoAway, 0, 0, nil) },
		"frames of no stream":       func(int) []byte { return frameOf(frameData, 0, 8, []byte("x")) },
		"empty data": func(count int) []byte {
			if count == 0 {
				return frameOf(frameWindowUpdate, flagSYN, 2, nil)
			}
			return frameOf(frameData, 0, 2, nil)
		},
	}
	for what, frame := range floods {
		t.Run(what, func(t *testing.T) {
			l, peer := floodedLink(t, Limits{MaxResets: 5, MaxIdleFrames: 5})
			ctx := testContext(t)
			for count := 0; !l.session.IsClosed(); count++ {
				if ctx.Err() != nil {
					t.Fatalf("the link still stands after %d", count)
				}
				_, _ = peer.Write(frame(count))
			}
		})
	}
}

func TestWhatAPeerMaySaveUpForIsNoFlood(t *testing.T) {
	host, _ := run(t, plugmuxtest.Options{}, Config{Limits: Limits{MaxResets: 20, MaxIdleFrames: 20}})
	registered(t, host)
	for range 150 { // of 200
		if _, err := host.Session.Ping(); err != nil {
			t.Fatal(err)
		}
		if err := must(host.Session.OpenStream()).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fetch(t, host, healthPath); got != "ok" {
		t.Error(got)
	}
}

func TestARateMayGoOnForEver(t *testing.T) {
	limit := newRateLimit(10)
	now := limit.filled
	for range 10_000 {
		now = now.Add(time.Second / 9)
		if !limit.take(now) {
			t.Fatal("nine a second are too many")
		}
	}
	for limit.take(now) {
	}
	limit.allow(2) // the one that was too many, and one more
	if !limit.take(now) || limit.take(now) {
		t.Error("what is excused is one event more")
	}
}
