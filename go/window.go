package plugmux

import "time"

const (
	// maxStreamWindowBytes is how far the window of a stream grows.
	maxStreamWindowBytes = 16 << 20
	// maxSharedWindowBytes is the size beyond which windows leave half of the growth to others.
	maxSharedWindowBytes = 4 << 20
	// maxCreditStepBytes is how much a program reads at most until the peer is credited for it: with half of a large window,
	// too little is under way.
	maxCreditStepBytes = 1 << 20
	// maxWindowGrowthBytes bounds the growth of all windows of a link together.
	maxWindowGrowthBytes = 32 << 20
	// beginWindowBytes is what windows that begin large may have together, since many of their streams will need none.
	beginWindowBytes = maxWindowGrowthBytes / 4
	// longRoundTrip is where a stream begins with a large window: that saves a round trip, and costs a frame.
	longRoundTrip = 2 * time.Millisecond
	// yamuxWindowBytes is the window that hashicorp/yamux holds the peer to where windowGrowth gives the credit. What it has
	// granted never exceeds what is left of it, though yamux fills it up only when half of it has been read.
	yamuxWindowBytes = 4 * maxStreamWindowBytes
)

// windowGrowth gives credit on the streams of a link over a network, in the place of hashicorp/yamux, whose windows have one
// size from their first byte on: a small one makes a stream slow where the round trip is long, and a large one lets the peer
// fill the memory with what nobody reads. These begin at 256 KiB. Where more than half of a window is read in two round trips,
// it is the window that limits the stream, and it becomes four times as large, or at once what another stream of the link has
// needed. Where the round trip is long, a stream of the peer begins with that. linkMemory guards it.
type windowGrowth struct {
	roundTrip time.Duration // zero: not measured yet, so that no window grows
	left      int64         // by which windows may still grow
	largest   int64         // the largest window that a stream has needed
}

func newWindowGrowth() *windowGrowth { return &windowGrowth{left: maxWindowGrowthBytes} }

// window is the receive window of one stream.
type window struct {
	size     int64 // to which it is filled up
	granted  int64 // what the peer may still send
	consumed int64 // what the program has read and the peer has not been credited for
	credited time.Time
}

func newWindow() window {
	return window{size: streamWindowBytes, granted: streamWindowBytes, credited: time.Now()}
}

// begin gives a new stream of the peer its first window, and returns the credit that exceeds what every stream begins with.
func (w *windowGrowth) begin(stream *window) int64 {
	if w.roundTrip < longRoundTrip {
		return 0
	}
	growth := max(min(w.largest-stream.size, w.left-(maxWindowGrowthBytes-beginWindowBytes)), 0)
	stream.size += growth
	stream.granted += growth
	w.left -= growth
	return growth
}

// consume counts bytes that the program has read, and returns the credit that the peer is to get now.
func (w *windowGrowth) consume(stream *window, bytes int64, mayGrow bool) int64 {
	stream.consumed += bytes
	if stream.consumed < min(stream.size/2, maxCreditStepBytes) {
		return 0
	}
	now, credit := time.Now(), stream.consumed
	elapsed := now.Sub(stream.credited).Seconds()
	if mayGrow && elapsed*float64(stream.size) < 4*w.roundTrip.Seconds()*float64(stream.consumed) {
		credit += w.grow(stream)
	}
	stream.consumed, stream.credited = 0, now
	stream.granted += credit
	return credit
}

// grow widens a window and returns by how much.
func (w *windowGrowth) grow(stream *window) int64 {
	size := min(max(4*stream.size, w.largest), maxStreamWindowBytes, stream.size+w.left)
	if size > maxSharedWindowBytes {
		size = max(min(size, stream.size+w.left-maxWindowGrowthBytes/2), maxSharedWindowBytes)
	}
	growth := max(size-stream.size, 0)
	stream.size += growth
	w.left -= growth
	w.largest = max(w.largest, stream.size)
	return growth
}

// giveBack takes back what the window of an ended stream has grown by.
func (w *windowGrowth) giveBack(stream *window) { w.left += stream.size - streamWindowBytes }
