package plugmux

import (
	"testing"
	"time"
)

func TestWindowsGrowWithWhatIsRead(t *testing.T) {
	const mib = 1 << 20
	windows := newWindowGrowth()
	sizes := func(stream *window, credits int) (found []int64) {
		for range credits {
			stream.granted -= stream.size / 2
			windows.consume(stream, stream.size/2, true)
			found = append(found, stream.size/mib)
		}
		return found
	}
	first, second := newWindow(), newWindow()
	if found := sizes(&first, 2); found[1] != 0 {
		t.Error("a window grows before a round trip was measured:", found)
	}
	windows.roundTrip = time.Hour
	if found := sizes(&first, 4); found[0] != 1 || found[1] != 4 || found[2] != 16 || found[3] != 16 {
		t.Error(found)
	}
	if first.granted != first.size {
		t.Error("not all was granted that was read:", first.granted)
	}
	if found := sizes(&second, 2); found[0] != 4 || found[1] != 4 {
		t.Error("large windows leave half of the growth to others:", found)
	}
	windows.giveBack(&first)
	windows.giveBack(&second)
	if windows.left != maxWindowGrowthBytes {
		t.Error(windows.left)
	}
}

func TestOnALongLineAStreamBeginsWithWhatAnotherHasNeeded(t *testing.T) {
	const mib = 1 << 20
	granted := map[uint32]uint32{}
	m := newLinkMemory(Limits{}.orDefault())
	m.windows, m.grant = newWindowGrowth(), func(stream, credit uint32) { granted[stream] += credit }
	m.register()
	m.windows.largest = 16 * mib
	begin := func(stream uint32) {
		if _, err := m.receive(stream, flagSYN, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	m.measured(time.Millisecond)
	begin(2)
	if len(granted) > 0 {
		t.Error("on a short line:", granted)
	}
	m.measured(20 * time.Millisecond)
	begin(4)
	begin(6)
	if len(granted) != 1 || granted[4] != 8*mib {
		t.Error("one stream begins with a quarter of the growth:", granted)
	}
	if _, err := m.receive(4, 0, 8*mib, 8*mib); err != nil {
		t.Error("what was granted is refused:", err)
	}
	if _, err := m.receive(4, flagRST, 0, 0); err != nil {
		t.Fatal(err)
	}
	m.closeStream(4)
	begin(8)
	if granted[8] != 8*mib {
		t.Error("what an ended stream had is not given back:", granted)
	}
}

func TestALargeWindowIsCreditedInSmallSteps(t *testing.T) {
	const mib = 1 << 20
	windows, stream := newWindowGrowth(), newWindow()
	stream.size, stream.granted = 16*mib, 15*mib
	if credit := windows.consume(&stream, mib-1, true); credit != 0 {
		t.Error(credit)
	}
	if credit := windows.consume(&stream, 1, true); credit != mib {
		t.Error("what has been read waits for half of the window:", credit)
	}
}

func TestAPeerIsHeldToTheCreditOfAStream(t *testing.T) {
	m := newLinkMemory(Limits{}.orDefault())
	m.windows, m.grant = newWindowGrowth(), func(uint32, uint32) {}
	m.register()
	for _, flags := range []uint16{flagSYN, 0} {
		if _, err := m.receive(2, flags, streamWindowBytes/2, streamWindowBytes/2); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.receive(2, 0, 1, 1); err == nil {
		t.Error("a byte beyond the window was taken")
	}
}
