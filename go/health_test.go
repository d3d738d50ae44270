package plugmux

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	"plugmux.dev/go/plugmuxtest"
)

func TestHealthOfEveryPluginAndService(t *testing.T) {
	health := &Health{}
	health.Set("late.v1.Service", false)
	link, _ := run(t, plugmuxtest.Options{}, Config{Name: "p", Health: health})
	const path = plugmuxtest.BaseURL + "/grpc.health.v1.Health/Check"
	client := connect.NewClient[plugmuxv1.HealthCheckRequest, plugmuxv1.HealthCheckResponse](link.Client(), path)
	status := func(service string) string {
		response, err := client.CallUnary(testContext(t), connect.NewRequest(&plugmuxv1.HealthCheckRequest{Service: service}))
		if err != nil {
			return connect.CodeOf(err).String()
		}
		return response.Msg.Status.String()
	}
	for service, want := range map[string]string{"": "SERVING", "late.v1.Service": "NOT_SERVING", "no.Such": "not_found"} {
		if got := status(service); got != want {
			t.Errorf("%q is %s, not %s", service, got, want)
		}
	}
	health.Set("", false)
	if got := status(""); got != "NOT_SERVING" {
		t.Errorf("the plugin is %s", got)
	}
}

func TestHealthIsWatched(t *testing.T) {
	health := &Health{}
	link, _ := run(t, plugmuxtest.Options{}, Config{Name: "p", Health: health})
	const path = plugmuxtest.BaseURL + "/grpc.health.v1.Health/Watch"
	client := connect.NewClient[plugmuxv1.HealthCheckRequest, plugmuxv1.HealthCheckResponse](link.Client(), path)
	stream, err := client.CallServerStream(testContext(t), connect.NewRequest(&plugmuxv1.HealthCheckRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, serving := range []bool{false, true} {
		if !stream.Receive() || (stream.Msg().Status == plugmuxv1.HealthCheckResponse_SERVING) == serving {
			t.Fatal(stream.Msg(), stream.Err())
		}
		health.Set("", serving)
	}
}

func TestDumpTellsEveryGoroutine(t *testing.T) {
	link, _ := run(t, plugmuxtest.Options{}, Config{Name: "p"})
	client := plugmuxv1connect.NewDiagnosticsServiceClient(link.Client(), plugmuxtest.BaseURL)
	dump, err := client.Dump(testContext(t), &plugmuxv1.DumpRequest{})
	if err != nil || !strings.Contains(dump.Text, "TestDumpTellsEveryGoroutine") {
		t.Fatal(dump, err)
	}
}
