package plugmux

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheLaunchConfigurationIsReadAndRemoved(t *testing.T) {
	cases := map[string]struct {
		ours, compatible string
		descriptors      []uintptr
	}{
		"a socket":           {compatible: `{"name":"a","timeout":5000000000,"fd":3}`, descriptors: []uintptr{3}},
		"two pipes":          {compatible: `{"name":"a","timeout":5000000000,"r":4,"w":5}`, descriptors: []uintptr{4, 5}},
		"a socket's path":    {ours: `{"name":"a","timeout":5000000000,"socket":"/run/s"}`},
		"ours is read first": {`{"name":"a","timeout":5000000000,"fd":7,"more":{}}`, `{"name":"b","timeout":1,"fd":3}`, []uintptr{7}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv(launchVariable, c.ours)
			t.Setenv(compatibleLaunchVariable, c.compatible)
			config, err := takeLaunchConfig()
			if err != nil {
				t.Fatal(err)
			}
			if config.Name != "a" || config.Timeout != 5*time.Second {
				t.Error(config)
			}
			for i, descriptor := range config.descriptors() {
				if descriptor != c.descriptors[i] {
					t.Error(config.descriptors())
				}
			}
			for _, variable := range []string{launchVariable, compatibleLaunchVariable} {
				if _, there := os.LookupEnv(variable); there {
					t.Error(variable, "is still there")
				}
			}
		})
	}
}

func TestALaunchConfigurationThatCannotBeUsedIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		`[]`:                                 "JSON",
		`{"name":"a","timeout":"5s","fd":3}`: "JSON",
		`{"name":"a","timeout":5,"fd":-1}`:   "JSON",
		`{"timeout":5,"fd":3}`:               "no plugin name",
		`{"name":"a","fd":3}`:                "timeout",
		`{"name":"a","timeout":5}`:           `"fd"`,
		`{"name":"a","timeout":5,"r":3}`:     `"r" and "w"`,
		`{"name":"a","timeout":5,"fd":2}`:    "above 2",
	} {
		t.Setenv(launchVariable, text)
		_, err := takeLaunchConfig()
		if !errors.Is(err, ErrNoRuntime) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestADescriptorThatIsNoConnectionIsLeftAlone(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	descriptor := file.Fd()
	config := &launchConfig{Name: "a", Timeout: time.Second, FD: &descriptor}
	if _, err := config.open(nil); !errors.Is(err, ErrNoRuntime) || !strings.Contains(err.Error(), "neither a socket nor a pipe") {
		t.Error(err)
	}
	if _, err := file.Stat(); err != nil {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"unix:/run/a": "/run/a", "unix:///run/a": "/run/a", "unix:@a": "@a", "/run/a": "/run/a", "@a": "@a",
		"tcp:a": "", "unix:": "", "": "",
	} {
		if path, err := socketPath(address); path != want || (err != nil) != (want == "") {
			t.Error(address, path, err)
		}
	}
}
