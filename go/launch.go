package plugmux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"plugmux.dev/go/internal/remote"
)

const (
	launchVariable           = "PLUGMUX_PLUGIN_LAUNCH_CFG"
	compatibleLaunchVariable = "DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG"
	socketVariable           = "PLUGMUX_SOCKET"
	firstFreeDescriptor      = 3
)

// launchConfig is what a runtime tells a plugin that it launches. The link is an inherited socket (FD), or a pair of one-way
// pipes (R and W), or a connection to the unix socket at a path (Socket), as in a container; on Windows R and W are handles, and
// Socket is the path of a named pipe. Other keys are ignored.
type launchConfig struct {
	Name    string        `json:"name"`
	Timeout time.Duration `json:"timeout"`
	FD      *uintptr      `json:"fd"`
	R       *uintptr      `json:"r"`
	W       *uintptr      `json:"w"`
	Socket  string        `json:"socket"`
	// Address is the place in the network that a plugin on another machine connects to. Token lets it get a certificate there,
	// once; CA is the fingerprint of the CA that signs it.
	Address string `json:"address"`
	Token   string `json:"token"`
	CA      string `json:"ca"`
	// PID is the process id of the runtime; 0 if it has no meaning for the plugin, as in a container.
	PID processID `json:"pid"`
	// Terminal is true if the plugin shares the runtime's terminal, where Ctrl-C reaches both.
	Terminal flag `json:"terminal"`
	// Detached is true if the plugin reconnects to the socket whenever a runtime listens there.
	Detached flag `json:"detached"`
}

// processID is 0 if the JSON holds anything but a positive integer.
type processID int

// UnmarshalJSON implements [json.Unmarshaler].
func (p *processID) UnmarshalJSON(text []byte) error {
	var number int
	if json.Unmarshal(text, &number) == nil && number > 0 {
		*p = processID(number)
	}
	return nil
}

// takeLaunchConfig reads the launch configuration and removes it from the environment, so that child processes do not use
// it. It returns nil if no runtime has launched the process.
func takeLaunchConfig() (*launchConfig, error) {
	text := os.Getenv(launchVariable)
	if text == "" {
		text = os.Getenv(compatibleLaunchVariable)
	}
	for _, variable := range []string{launchVariable, compatibleLaunchVariable} {
		if err := os.Unsetenv(variable); err != nil {
			return nil, err
		}
	}
	if text == "" {
		return nil, nil
	}
	return parseLaunchConfig(text)
}

func parseLaunchConfig(text string) (*launchConfig, error) {
	if len(text) > maxLaunchConfigBytes {
		return nil, launchError{fmt.Errorf("it has %d bytes, over the limit of %d", len(text), maxLaunchConfigBytes)}
	}
	config := &launchConfig{}
	if err := json.Unmarshal([]byte(text), config); err != nil {
		return nil, launchError{fmt.Errorf("it is not the expected JSON: %w", err)}
	}
	if err := config.check(); err != nil {
		return nil, launchError{err}
	}
	return config, nil
}

// flag is true if the JSON holds true, and false for everything else.
type flag bool

// UnmarshalJSON implements [json.Unmarshaler].
func (f *flag) UnmarshalJSON(text []byte) error {
	*f = string(text) == "true"
	return nil
}

func (c *launchConfig) check() error {
	if c.Name == "" {
		return errors.New("it has no plugin name")
	}
	if c.Timeout <= 0 {
		return fmt.Errorf("its timeout is %v; it must be above 0", c.Timeout)
	}
	if c.Address != "" {
		if !remote.IsNetwork(c.Address) || c.Token == "" || !strings.HasPrefix(c.CA, fingerprintPrefix) {
			return errors.New(`"address" needs tls://host:port, a "token" and the fingerprint of a "ca"`)
		}
		_, err := remote.ParseAddress(c.Address)
		return err
	}
	if c.Socket == "" && c.FD == nil && (c.R == nil || c.W == nil) {
		return errors.New(`it needs "fd", or "r" and "w"`)
	}
	for _, descriptor := range c.descriptors() {
		if descriptor < firstFreeDescriptor {
			return fmt.Errorf("it names descriptor %d; it must be above 2", descriptor)
		}
	}
	return nil
}

func (c *launchConfig) descriptors() []uintptr {
	if c.Socket != "" {
		return nil
	}
	if c.FD != nil {
		return []uintptr{*c.FD}
	}
	if *c.R == *c.W {
		return []uintptr{*c.R}
	}
	return []uintptr{*c.R, *c.W}
}

// open connects to the socket or adopts the inherited descriptors. From then on no child process inherits them, as a child
// would keep the link open after the plugin's end. The user who listens at the socket is checked if there is a policy; in a
// container there is none, as the user ids of the two ends cannot be compared.
func (c *launchConfig) open(peers *peerPolicy) (io.ReadWriteCloser, error) {
	if c.Socket != "" {
		return c.dial(peers)
	}
	for _, descriptor := range c.descriptors() {
		if err := adoptDescriptor(descriptor); err != nil {
			return nil, launchError{fmt.Errorf("descriptor %d cannot be used: %w", descriptor, err)}
		}
	}
	descriptors := c.descriptors()
	if len(descriptors) == 2 {
		return pipePair{openPipe(*c.R, "link (read)"), openPipe(*c.W, "link (write)")}, nil
	}
	file := os.NewFile(descriptors[0], "link")
	defer file.Close() // FileConn uses a duplicate
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, launchError{fmt.Errorf("descriptor %d is not a socket: %w", descriptors[0], err)}
	}
	return conn, nil
}

func (c *launchConfig) dial(peers *peerPolicy) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	conn, err := dialLocal(ctx, c.Socket)
	if err != nil {
		return nil, launchError{fmt.Errorf("no runtime listens at its socket: %w", err)}
	}
	if peers != nil {
		if err := peers.check(conn); err != nil {
			_ = conn.Close()
			return nil, launchError{fmt.Errorf("its socket %s is not trusted: %w", c.Socket, err)}
		}
	}
	return conn, nil
}

// pipePair makes a connection of two one-way pipes, which end together.
type pipePair struct {
	io.ReadCloser
	w io.WriteCloser
}

func (p pipePair) Write(data []byte) (int, error) { return p.w.Write(data) }

func (p pipePair) Close() error { return errors.Join(p.ReadCloser.Close(), p.w.Close()) }

// launchError says why the launch configuration cannot be used; it is an [ErrNoRuntime].
type launchError struct{ cause error }

func (e launchError) Error() string {
	return "the launch configuration cannot be used: " + e.cause.Error()
}

func (e launchError) Unwrap() error { return e.cause }

func (e launchError) Is(target error) bool { return target == ErrNoRuntime }
