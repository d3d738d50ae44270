package plugmux

import (
	"cmp"
	"time"
)

// The limits and times that the SDKs of all languages share; proto/constants.json lists them.
const (
	maxMessageBytes      = 4 << 20
	maxInstances         = 10_000
	maxLaunchConfigBytes = 65_536
	maxLogTextCharacters = 8192
	maxResets            = 1000 // a second
	maxIdleFrames        = 2000 // a second

	dialTimeout       = 2 * time.Second
	firstRedial       = 200 * time.Millisecond
	maxRedial         = 10 * time.Second
	maxDetachedRedial = time.Second // to the runtime after the one that launched a detached plugin
	drainTimeout      = 10 * time.Second
	closeTimeout      = 2 * time.Second

	remoteKeepAlive = 10 * time.Second // both between two pings and for the answer to one

	acceptBacklog      = 256
	maxStreams         = 16_384
	streamCloseTimeout = 5 * time.Minute
	streamWindowBytes  = 256 << 10
)

// registrationTimeout is how long a registration may take if the plugin was not launched; a launch says it.
const registrationTimeout = time.Minute

// Limits bound what a plugin accepts from its runtime, and how long its end may take. Zero means the default.
type Limits struct {
	// MaxMessageBytes is the size of the largest message of a call in bytes, both compressed and decompressed; 4 MiB by
	// default. A larger message ends its call with resource_exhausted.
	MaxMessageBytes int
	// MaxLinkMemory is how many bytes may have arrived on a link without having been read; by default 64 MiB, or the size of
	// four messages where that is more. Above half of it the plugin delays new calls; streams that exceed it are reset. Before
	// the plugin has registered the limit is 1 MiB.
	MaxLinkMemory int
	// MaxStreams is how many streams the runtime may have open at the same time, one for each call; 16,384 by default.
	// Before the plugin has registered the limit is 32.
	MaxStreams int
	// MaxResets is how many streams a second the runtime may open for nothing: streams that it resets within a second, ends
	// without a byte, or opens beyond MaxStreams; 1,000 by default. The runtime may use up to ten seconds' worth at once.
	// Exceeding it ends the link.
	MaxResets int
	// MaxIdleFrames is how many frames a second the runtime may send that change nothing: pings, empty data, frames of
	// streams that have ended; 2,000 by default. The runtime may use up to ten seconds' worth at once. Exceeding it ends the
	// link.
	MaxIdleFrames int
	// DrainTimeout is how long an ending plugin waits for the calls it is serving, streams included, unless the runtime closes
	// the link before; 10 s by default.
	DrainTimeout time.Duration
	// CloseTimeout is how long an ending plugin waits for [Config.Background], then for handlers that outlive the link, and then
	// for [OnRelease] functions; 2 s by default, for each of the three.
	CloseTimeout time.Duration
}

func (l Limits) orDefault() Limits {
	message := cmp.Or(l.MaxMessageBytes, maxMessageBytes)
	return Limits{
		MaxMessageBytes: message,
		MaxLinkMemory:   cmp.Or(l.MaxLinkMemory, max(maxLinkMemory, 4*message)),
		MaxStreams:      cmp.Or(l.MaxStreams, maxStreams),
		MaxResets:       cmp.Or(l.MaxResets, maxResets),
		MaxIdleFrames:   cmp.Or(l.MaxIdleFrames, maxIdleFrames),
		DrainTimeout:    cmp.Or(l.DrainTimeout, drainTimeout),
		CloseTimeout:    cmp.Or(l.CloseTimeout, closeTimeout),
	}
}
