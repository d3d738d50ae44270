package plugmux

import "time"

// Limits and times that the SDKs of all languages share, as proto/constants.json has them.
const (
	maxMessageBytes      = 4 << 20
	maxNameCharacters    = 256
	maxVersionCharacters = 128
	maxPatternCharacters = 4096
	maxServices          = 1024
	maxInstances         = 10_000
	maxLaunchConfigBytes = 65_536
	maxLogTextCharacters = 8192

	dialTimeout  = 2 * time.Second
	firstRedial  = 200 * time.Millisecond
	maxRedial    = 10 * time.Second
	nearRedial   = time.Second // to the runtime after the one that launched a detached plugin
	closeTimeout = 2 * time.Second

	acceptBacklog      = 256
	maxStreams         = 16_384
	streamCloseTimeout = 5 * time.Minute
	streamWindowBytes  = 256 << 10
)

// registrationTimeout is how long a registration may take where no launch says.
const registrationTimeout = time.Minute
