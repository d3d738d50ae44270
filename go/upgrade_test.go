package plugmux

import (
	"io"
	"net"
	"strings"
	"testing"
)

func TestTheHeaderOfAnAnswerToAnUpgradeIsBounded(t *testing.T) {
	near, far := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	go func() {
		_, err := io.WriteString(far, "HTTP/1.1 101 Switching Protocols\r\n")
		for err == nil {
			_, err = io.WriteString(far, "A: "+strings.Repeat("a", 1000)+"\r\n")
		}
	}()
	_, err := upgrade(testContext(t), near, "unix", "/", streamProtocol)
	if err == nil || !strings.Contains(err.Error(), "over 16384 bytes") {
		t.Error(err)
	}
}
