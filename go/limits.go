package plugmux

import (
	"cmp"
	"time"
)

// Limits and times that the SDKs of all languages share, as proto/constants.json has them.
const (
	maxMessageBytes          = 4 << 20
	maxNameCharacters        = 256
	maxVersionCharacters     = 128
	maxPatternCharacters     = 4096
	maxServices              = 1024
	maxProtocolVersions      = 256
	maxSchemaCharacters      = 262_144
	maxMessageTypeCharacters = 512
	maxListCharacters        = 65_536
	maxInstances             = 10_000
	maxLaunchConfigBytes     = 65_536
	maxLogTextCharacters     = 8192
	maxResets                = 1000 // a second
	maxIdleFrames            = 2000 // a second

	dialTimeout       = 2 * time.Second
	firstRedial       = 200 * time.Millisecond
	maxRedial         = 10 * time.Second
	maxDetachedRedial = time.Second // to the runtime after the one that launched a detached plugin
	closeTimeout      = 2 * time.Second

	acceptBacklog      = 256
	maxStreams         = 16_384
	streamCloseTimeout = 5 * time.Minute
	streamWindowBytes  = 256 << 10
)

// registrationTimeout is how long a registration may take where no launch says.
const registrationTimeout = time.Minute

// Limits bound what a plugin takes from its runtime, and how long its end may take. What is 0 is the default.
type Limits struct {
	// MessageBytes is the size of the largest message of a call, compressed and not; 4 MiB by default. A larger one ends
	// its call with resource_exhausted.
	MessageBytes int
	// LinkBytes is how much may have come over a link without having been taken; 64 MiB by default, and at least
	// four messages. Beyond half of it the plugin takes calls in later, beyond it streams are reset. Before the plugin has registered it is 1 MiB.
	LinkBytes int
	// Streams is how many streams the runtime may have open at the same time, which is how many calls it may have under
	// way; 16,384 by default. Before the plugin has registered it is 32.
	Streams int
	// Resets is how many streams a second the runtime may open for nothing before the link is ended: streams that it resets
	// within a second, ends without a byte, or opens beyond what it may have; 1,000 by default. Ten seconds' worth may come
	// at once.
	Resets int
	// IdleFrames is how many frames a second the runtime may send that change nothing (pings, empty data, frames of streams
	// that have ended) before the link is ended; 2,000 by default. Ten seconds' worth may come at once.
	IdleFrames int
	// CloseTime is how long a plugin that ends waits for calls under way, then for [Config.Background], then for
	// handlers that outlive the link; 2 s by default, of each.
	CloseTime time.Duration
}

func (l Limits) orDefault() Limits {
	message := cmp.Or(l.MessageBytes, maxMessageBytes)
	return Limits{
		MessageBytes: message,
		LinkBytes:    cmp.Or(l.LinkBytes, max(maxUntaken, 4*message)),
		Streams:      cmp.Or(l.Streams, maxStreams),
		Resets:       cmp.Or(l.Resets, maxResets),
		IdleFrames:   cmp.Or(l.IdleFrames, maxIdleFrames),
		CloseTime:    cmp.Or(l.CloseTime, closeTimeout),
	}
}
