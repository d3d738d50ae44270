package plugmux

import (
	"fmt"
	"time"
)

const (
	// floodBurst is for how many seconds' worth of events may come at once: cancelling all calls of a program is no attack.
	floodBurst = 10 * time.Second
	// youngStream is the age below which a stream that the peer resets counts as opened for nothing.
	youngStream = time.Second
	// lateFrames is how many frames a peer may send on a stream before it learns that the stream was reset.
	lateFrames = 32
)

// rateLimit counts events against a limit per second. Ten seconds' worth of events may come at once.
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

// take counts one event and reports whether it is within the limit.
func (r *rateLimit) take(now time.Time) bool {
	if r.left--; r.left >= 0 {
		return true
	}
	r.left += min(now.Sub(r.filled).Seconds()*r.perSecond, r.burst())
	r.filled = now
	return r.left >= 0
}

// allow lets further events pass that are not the peer's fault.
func (r *rateLimit) allow(events float64) { r.left = min(r.left+events, r.burst()) }

// floods counts what costs the plugin work and achieves nothing: streams that the peer opens for nothing, and frames that
// change nothing. Exceeding one of the limits ends the link.
type floods struct {
	limits     Limits
	streams    rateLimit
	idleFrames rateLimit
	err        error // set once a limit has been exceeded
}

func newFloods(limits Limits) floods {
	return floods{limits: limits, streams: newRateLimit(limits.MaxResets), idleFrames: newRateLimit(limits.MaxIdleFrames)}
}

// uselessStream counts a stream that the peer reset soon after opening it, ended without a byte, or was not allowed to open.
func (f *floods) uselessStream(now time.Time) {
	if !f.streams.take(now) {
		f.exceed(fmt.Errorf("the runtime keeps opening more than %d streams a second that it resets at once, ends empty "+
			"or may not have, the limit that Config.Limits.MaxResets sets", f.limits.MaxResets))
	}
}

// idleFrame counts a frame that changes nothing.
func (f *floods) idleFrame(now time.Time) {
	if !f.idleFrames.take(now) {
		f.exceed(fmt.Errorf("the runtime keeps sending more than %d frames a second that change nothing, the limit that "+
			"Config.Limits.MaxIdleFrames sets", f.limits.MaxIdleFrames))
	}
}

// resetHere allows for the frames that may still arrive on a stream which the plugin has just reset.
func (f *floods) resetHere() { f.idleFrames.allow(lateFrames) }

func (f *floods) exceed(err error) {
	if f.err == nil {
		f.err = err
	}
}
