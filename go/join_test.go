package plugmux

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestACertificateIsNotRenewedAgainAtOnceByAClockThatIsAhead(t *testing.T) {
	begins := time.Unix(0, 0)
	day := &x509.Certificate{NotBefore: begins, NotAfter: begins.Add(24 * time.Hour)}
	for after, due := range map[time.Duration]time.Duration{
		0:                             16 * time.Hour,
		23 * time.Hour:                time.Minute,
		24*time.Hour - 50*time.Second: 5 * time.Second,
		24 * time.Hour:                time.Minute,
		48 * time.Hour:                time.Minute,
	} {
		if got := renewalDue(day, begins.Add(after)); got != due {
			t.Errorf("after %v: %v, not %v", after, got, due)
		}
	}
}
