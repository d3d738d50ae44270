package plugmux

// callStackBytes is what a small call needs of the stack of each goroutine that takes part in it.
const callStackBytes = 6 << 10

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
