package plugmux

import (
	"fmt"
	"time"
)

const (
	// floodBurst is how long a peer may have saved up for: a program that cancels all its calls at once is no attack.
	floodBurst = 10 * time.Second
	// youngStream is the age below which a stream that the peer resets counts as opened for nothing.
	youngStream = time.Second
	// lateFrames is how many frames a peer may send on a stream before it learns that the plugin has reset it.
	lateFrames = 32
)

// rateLimit counts events against a number per second. Ten seconds' worth may come at once.
type rateLimit struct {
	perSecond float64
	left      float64
	filled    time.Time
}

func newRateLimit(perSecond int) rateLimit {
	limit := rateLimit{perSecond: float64(perSecond), filled: time.Now()}
	limit.left = limit.burst()
	return limit
}

func (r *rateLimit) burst() float64 { return r.perSecond * floodBurst.Seconds() }

// take counts one event, and reports whether it is within the limit.
func (r *rateLimit) take(now time.Time) bool {
	if r.left--; r.left >= 0 {
		return true
	}
	r.left += min(now.Sub(r.filled).Seconds()*r.perSecond, r.burst())
	r.filled = now
	return r.left >= 0
}

// allow excuses events that are not the peer's fault.
func (r *rateLimit) allow(events float64) { r.left = min(r.left+events, r.burst()) }

// floods counts what a peer does that costs the plugin work and achieves nothing: streams that it opens for nothing, and
// frames that change nothing. A peer that goes on with it gets its link ended.
type floods struct {
	limits     Limits
	streams    rateLimit
	idleFrames rateLimit
	err        error // set once a limit has been exceeded
}

func newFloods(limits Limits) floods {
	return floods{limits: limits, streams: newRateLimit(limits.Resets), idleFrames: newRateLimit(limits.IdleFrames)}
}

// uselessStream counts a stream that the peer has reset while it was young, has ended without a byte, or may not open.
func (f *floods) uselessStream(now time.Time) {
	if !f.streams.take(now) {
		f.exceeded(fmt.Errorf("the runtime goes on opening more than %d streams a second that it resets at once, ends empty "+
			"or may not have, the limit that Config.Limits.Resets sets", f.limits.Resets))
	}
}

// idleFrame counts a frame that changes nothing.
func (f *floods) idleFrame(now time.Time) {
	if !f.idleFrames.take(now) {
		f.exceeded(fmt.Errorf("the runtime goes on sending more than %d frames a second that change nothing, the limit that "+
			"Config.Limits.IdleFrames sets", f.limits.IdleFrames))
	}
}

// resetHere excuses the frames that may still come on a stream which the plugin has reset.
func (f *floods) resetHere() { f.idleFrames.allow(lateFrames) }

func (f *floods) exceeded(err error) {
	if f.err == nil {
		f.err = err
	}
}
