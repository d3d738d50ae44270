//go:build unix

package plugmux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"plugmux.dev/go/plugmuxtest"
)

const asPlugin = "PLUGMUX_TEST_AS_PLUGIN"

// TestMain lets the test program be the plugin that it launches.
func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) == "" {
		os.Exit(m.Run())
	}
	Main(Config{Version: "v1.2.3", Limits: Limits{DrainTimeout: 50 * time.Millisecond, CloseTimeout: 50 * time.Millisecond}},
		Handler("/child", http.HandlerFunc(serveChild)),
		Handler("/print", http.HandlerFunc(servePrint)),
		Handler("/wait", http.HandlerFunc(serveWait)),
	)
}

// serveChild answers with what a child of the plugin sees of its environment and of its descriptors.
func serveChild(w http.ResponseWriter, r *http.Request) {
	child := exec.CommandContext(r.Context(), "sh", "-c", "env; ls -l /proc/self/fd /proc/$$/fd")
	child.Stdout = w
	_ = child.Run()
}

// servePrint prints more than a pipe holds, to an output that nobody reads any more.
func servePrint(w http.ResponseWriter, _ *http.Request) {
	_, err := os.Stdout.Write(make([]byte, 1<<20))
	fmt.Fprint(w, err)
}

// serveWait begins an answer that only the caller's end ends.
func serveWait(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func pluginProcess(ctx context.Context) *exec.Cmd {
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), asPlugin+"=1")
	return command
}

type launcher func(*exec.Cmd, time.Duration, plugmuxtest.Options) (*plugmuxtest.Link, error)

var launchers = map[string]launcher{"socket": plugmuxtest.Launch, "pipes": plugmuxtest.LaunchWithPipes}

func startPlugin(t *testing.T, launch launcher, command *exec.Cmd) *plugmuxtest.Link {
	t.Helper()
	link, err := launch(command, testLimit, plugmuxtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, link, "/registered") // is answered once the plugin knows that it is registered
	return link
}

func TestALaunchedPluginEndsWell(t *testing.T) {
	ends := map[string]func(context.Context, *plugmuxtest.Link, *os.Process) error{
		"by Shutdown": func(ctx context.Context, link *plugmuxtest.Link, _ *os.Process) error { return link.Shutdown(ctx) },
		"by end of file": func(_ context.Context, link *plugmuxtest.Link, _ *os.Process) error {
			return link.Session.Close()
		},
		"by SIGTERM": func(_ context.Context, _ *plugmuxtest.Link, process *os.Process) error {
			return process.Signal(syscall.SIGTERM)
		},
		"by SIGINT": func(_ context.Context, _ *plugmuxtest.Link, process *os.Process) error {
			return process.Signal(syscall.SIGINT)
		},
	}
	for way, launch := range launchers {
		for name, end := range ends {
			t.Run(way+" "+name, func(t *testing.T) {
				ctx := testContext(t)
				command := pluginProcess(ctx)
				link := startPlugin(t, launch, command)
				if err := end(ctx, link, command.Process); err != nil {
					t.Error(err)
				}
				if err := command.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestAHandlerThatWaitsDoesNotKeepThePluginAlive(t *testing.T) {
	ctx := testContext(t)
	command := pluginProcess(ctx)
	link := startPlugin(t, plugmuxtest.Launch, command)
	response, err := link.Client().Get(plugmuxtest.BaseURL + "/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAChildOfThePluginSeesNothingOfTheLink(t *testing.T) {
	for way, launch := range launchers {
		t.Run(way, func(t *testing.T) {
			link := startPlugin(t, launch, pluginProcess(testContext(t)))
			defer link.Session.Close()
			seen := fetch(t, link, "/child")
			if !strings.Contains(seen, asPlugin) || !strings.Contains(seen, "pipe:") {
				t.Fatalf("the child saw neither environment nor descriptors: %s", seen)
			}
			if strings.Contains(seen, "LAUNCH_CFG") || strings.Contains(seen, "socket:") {
				t.Error(seen)
			}
			for _, line := range strings.Split(seen, "\n") {
				if strings.Contains(line, " 3 -> pipe:") || strings.Contains(line, " 4 -> pipe:") {
					t.Error("the child holds an end of the link:", line)
				}
			}
		})
	}
}

func TestAPluginOutlivesTheReaderOfItsOutput(t *testing.T) {
	command := pluginProcess(testContext(t))
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	link := startPlugin(t, plugmuxtest.Launch, command)
	defer link.Session.Close()
	if err := output.Close(); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, link, "/print"); !strings.Contains(got, "broken pipe") {
		t.Error("the plugin could print:", got)
	}
	if got := fetch(t, link, healthPath); got != "ok" {
		t.Error(got)
	}
}

func TestStartedByHandItExplainsItself(t *testing.T) {
	cases := map[string]struct {
		environment, says string
		status            int
	}{
		"no runtime":          {"", "is a plugmux plugin", exitUsage},
		"not JSON":            {launchVariable + "=nonsense", "not the expected JSON", exitUsage},
		"no such descriptor":  {launchVariable + `={"name":"a","timeout":1,"fd":99}`, "descriptor 99", exitUsage},
		"not a runtime there": {socketVariable + "=unix:@plugmux-test-nobody", "no runtime at", exitFailed},
		"bad address":         {socketVariable + "=tcp:nowhere", "write unix:", exitUsage},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			command := pluginProcess(testContext(t))
			command.Env = append(command.Env, c.environment)
			var stdout, stderr bytes.Buffer
			command.Stdout, command.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := command.Run(); !errors.As(err, &exit) || exit.ExitCode() != c.status {
				t.Errorf("%v in place of status %d", err, c.status)
			}
			if stdout.Len() != 0 || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}

func TestALaunchedPluginEndsWithTheProcessOfItsRuntime(t *testing.T) {
	runtime := exec.CommandContext(testContext(t), "cat")
	input, err := runtime.StdinPipe()
	if err == nil {
		err = runtime.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	command := pluginProcess(testContext(t))
	command.Env = append(command.Env, fmt.Sprintf(`%s={"name":"a","timeout":%d,"fd":3,"pid":%d}`, launchVariable, testLimit, runtime.Process.Pid))
	startPlugin(t, plugmuxtest.Launch, command) // whose link stays open
	_ = input.Close()
	if err := runtime.Wait(); err != nil {
		t.Error(err)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAProcessIsAwaited(t *testing.T) {
	for name, await := range map[string]func(context.Context, int) bool{"watched": awaitProcess, "polled": pollProcess} {
		t.Run(name, func(t *testing.T) {
			process := exec.CommandContext(testContext(t), "true")
			if err := process.Run(); err != nil {
				t.Fatal(err)
			}
			if !await(testContext(t), process.Process.Pid) {
				t.Error("a process that has ended is awaited")
			}
			ctx, cancel := context.WithCancel(testContext(t))
			ended := make(chan bool)
			go func() { ended <- await(ctx, os.Getpid()) }()
			cancel()
			if <-ended {
				t.Error("this process has not ended")
			}
		})
	}
}
