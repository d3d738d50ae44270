package plugmux

import (
	"testing"
	"unsafe"
)

// recurse takes some kilobytes of stack.
//
//go:noinline
func recurse(depth int) byte {
	var frame [256]byte
	if depth > 0 {
		frame[depth] = recurse(depth - 1)
	}
	return frame[depth] + 1
}

func TestAStackThatHasGrownStaysWhereItIsDuringACall(t *testing.T) {
	moved := make(chan bool)
	go func() {
		growStack()
		var local byte
		before := uintptr(unsafe.Pointer(&local))
		recurse(callStackBytes / 512)
		moved <- uintptr(unsafe.Pointer(&local)) != before
	}()
	if <-moved {
		t.Error("the stack was copied")
	}
}
