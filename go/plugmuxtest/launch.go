package plugmuxtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// LaunchVariable is the environment variable with the launch configuration, which every runtime of this wire sets.
const LaunchVariable = "DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG"

// configure gives a command the launch configuration: where the ends of the link are, the plugin's name and its time.
func configure(command *exec.Cmd, ends map[string]any, timeout time.Duration) error {
	ends["name"], ends["timeout"] = strings.TrimSuffix(filepath.Base(command.Path), ".exe"), timeout.Nanoseconds()
	text, err := json.Marshal(ends)
	if err == nil {
		command.Env = append(command.Environ(), LaunchVariable+"="+string(text))
	}
	return err
}

// pipes is a connection of two one-way pipes, which end together.
type pipes struct {
	io.ReadCloser
	w io.WriteCloser
}

func (p pipes) Write(data []byte) (int, error) { return p.w.Write(data) }

func (p pipes) Close() error { return errors.Join(p.ReadCloser.Close(), p.w.Close()) }
