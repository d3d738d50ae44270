package plugmuxtest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/gen/go/plugins/v1/pluginsv1connect"
)

// register registers by hand, as a plugin whose SDK checks nothing.
func register(t *testing.T, request *pluginsv1.RegisterPluginRequest) (*Link, pluginsv1connect.RegisterServiceClient, error) {
	t.Helper()
	near, far := net.Pipe()
	link := NewLink(near, Options{})
	session, err := yamux.Client(far, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Close()
		_ = link.Session.Close()
	})
	client := pluginsv1connect.NewRegisterServiceClient(&http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return session.Open() },
		DisableKeepAlives: true,
	}}, BaseURL)
	_, err = client.RegisterPlugin(t.Context(), request)
	return link, client, err
}

func TestWhatEveryRuntimeRefusesIsRefused(t *testing.T) {
	for text, request := range map[string]*pluginsv1.RegisterPluginRequest{
		"internal: the name": {Version: "v1.0.0"},
		"the version":        {Name: "kv", Version: "1.0"},
		"the service":        {Name: "kv", Version: "v1.0.0", Services: []string{"a..b"}},
		"invalid_argument": {Name: "kv", Version: "v1.0.0", Metadata: &pluginsv1.RegisterPluginRequest_SecretsProvider{
			SecretsProvider: &pluginsv1.SecretsProvider{Pattern: "a//b"},
		}},
	} {
		link, _, err := register(t, request)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
		_ = link.Session.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := link.Registration(ctx); err == nil || connect.CodeOf(link.refusal()) == connect.CodeUnknown {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAPluginRegistersOnce(t *testing.T) {
	request := &pluginsv1.RegisterPluginRequest{Name: "kv", Version: "v1.0.0"}
	link, client, err := register(t, request)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := link.Registration(t.Context()); err != nil || got.GetName() != "kv" {
		t.Error(got, err)
	}
	if _, err := client.RegisterPlugin(t.Context(), request); connect.CodeOf(err) != connect.CodeInternal {
		t.Error(err)
	}
}

func TestALinkHasRegisteredAlsoWhenItHasEndedSince(t *testing.T) {
	for range 20 {
		link, _, err := register(t, &pluginsv1.RegisterPluginRequest{Name: "kv", Version: "v1.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		_ = link.Session.Close()
		if _, err := link.Registration(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinksDoNotChangeTheirOptions(t *testing.T) {
	answer := &pluginsv1.RegisterPluginResponse{ConfigurationJson: "{}"}
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	link := NewLink(near, Options{Response: answer})
	got, err := registerService{link}.RegisterPlugin(t.Context(), &pluginsv1.RegisterPluginRequest{Name: "kv", Version: "v1.0.0"})
	if err != nil || got.GetConfigurationJson() != "{}" || got.GetEngineName() == "" || answer.GetEngineName() != "" {
		t.Error(got, err, answer)
	}
}
