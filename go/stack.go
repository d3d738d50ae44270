package plugmux

// callStackBytes is what a small call needs of the stack of each goroutine that takes part in it; fastPathStackBytes what it
// needs where it takes a single one.
const (
	callStackBytes     = 6 << 10
	fastPathStackBytes = 8 << 10
)

// growStack makes the stack of a new goroutine large enough for a call, in one step. By itself a stack doubles each time a
// call goes deeper than it reaches, and all frames are copied each time: a quarter of the processor time of a small call.
//
//go:noinline
func growStack() {
	var frame [callStackBytes]byte
	keepOnStack(&frame)
}

//go:noinline
func keepOnStack(*[callStackBytes]byte) {}

// growFastPathStack does the same on the fast path.
//
//go:noinline
func growFastPathStack() {
	var frame [fastPathStackBytes]byte
	keepAllOnStack(&frame)
}

//go:noinline
func keepAllOnStack(*[fastPathStackBytes]byte) {}
