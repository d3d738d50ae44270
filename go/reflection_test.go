package plugmux

import (
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	"plugmux.dev/go/plugmuxtest"
)

func TestAPluginTellsWhatItsServicesLookLike(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{}, kv{}.servable())
	registered(t, link)
	client := grpcreflect.NewClient(duplexClient{link.Client()}, plugmuxtest.BaseURL)
	stream := client.NewStream(testContext(t))
	defer func() { _, _ = stream.Close() }()
	names, err := stream.ListServices()
	if want := protoreflect.FullName(kvv1connect.KeyValueServiceName); err != nil || !slices.Contains(names, want) {
		t.Error(names, err)
	}
	files, err := stream.FileContainingSymbol(kvv1connect.KeyValueServiceName)
	if err != nil || len(files) == 0 {
		t.Error(files, err)
	}
}

// duplexClient calls methods with streams both ways.
type duplexClient struct{ *http.Client }

func (c duplexClient) Do(request *http.Request) (*http.Response, error) {
	return asDuplex(c.Client.Do(request))
}
