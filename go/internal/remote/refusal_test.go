package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"plugmux.dev/go/internal/remotetest"
)

const (
	pluginID  = "spiffe://prod/kv"
	runtimeID = "spiffe://prod/runtime"
)

// records is a writer that several goroutines may use.
type records struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (r *records) Write(data []byte) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.buffer.Write(data)
}

func (r *records) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		r.lock.Lock()
		seen := r.buffer.String()
		r.lock.Unlock()
		if strings.Contains(seen, text) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q is not in the log: %s", text, seen)
		}
	}
}

func capture(t *testing.T) *records {
	kept, log := slog.Default(), &records{}
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(kept) })
	return log
}

// listen serves one byte to each connection at an address of the machine.
func listen(t *testing.T, credentials *Credentials) Address {
	t.Helper()
	listener, err := Listen(Address{"tls", "127.0.0.1", 0}, credentials, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("x"))
			_ = conn.Close()
		}
	}()
	return listener.Address()
}

func connect(t *testing.T, address Address, credentials *Credentials) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := Connect(ctx, address, credentials, nil, address.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = bufio.NewReader(conn).ReadByte()
	if IsRefusal(err) {
		return credentials.Refusal(address.String(), err, true)
	}
	return err
}

// wrong is a certificate that is refused.
type wrong struct {
	name   string
	make   func(*testing.T, *remotetest.Authority, string) tls.Certificate
	seen   string // by the end that refuses
	served string // by a server whose certificate it is
	dialed string // by a client whose certificate it is
}

func changed(change func(*x509.Certificate)) func(*testing.T, *remotetest.Authority, string) tls.Certificate {
	return func(t *testing.T, ca *remotetest.Authority, id string) tls.Certificate {
		return ca.Issue(t, id, change)
	}
}

var wrongs = []wrong{
	{"expired", changed(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"its certificate has expired (it was valid until ", "it is not valid, by its clock or rules", "it has expired, by its clock"},
	{"not yet valid", changed(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"its certificate is not valid yet", "it is not valid, by its clock or rules", "it has expired, by its clock"},
	{"of another CA", func(t *testing.T, _ *remotetest.Authority, id string) tls.Certificate {
		return remotetest.NewAuthority(t).Issue(t, id, nil)
	}, "its certificate is signed by no CA of memory", "it is not valid, by its clock or rules", "it trusts another CA"},
	{"self-signed", func(t *testing.T, ca *remotetest.Authority, id string) tls.Certificate { return ca.SelfSigned(t, id) },
		"its certificate is self-signed, and not one of the CAs of memory", "it is not valid, by its clock or rules", "it trusts another CA"},
}

func TestWrongCertificatesAreRefusedByBothEnds(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	for _, c := range wrongs {
		t.Run(c.name, func(t *testing.T) {
			log := capture(t)
			good := FromMemory(ca.Issue(t, runtimeID, nil), ca.Pool(), "memory")
			bad := FromMemory(c.make(t, ca, pluginID), ca.Pool(), "memory")
			err := connect(t, listen(t, good), bad)
			if err == nil || !strings.Contains(err.Error(), "it refused our certificate "+pluginID) || !strings.Contains(err.Error(), c.dialed) {
				t.Errorf("the client says: %v", err)
			}
			log.await(t, c.seen)

			log = capture(t)
			err = connect(t, listen(t, bad), good)
			if err == nil || !strings.Contains(err.Error(), c.seen) {
				t.Errorf("the client says: %v", err)
			}
			log.await(t, c.served)
		})
	}
}

func TestACertificateForOneSideAloneIsRefused(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	only := func(use x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{use} }
	}
	client := FromMemory(ca.Issue(t, runtimeID, only(x509.ExtKeyUsageClientAuth)), ca.Pool(), "memory")
	server := FromMemory(ca.Issue(t, runtimeID, only(x509.ExtKeyUsageServerAuth)), ca.Pool(), "memory")
	log := capture(t)
	err := connect(t, listen(t, client), client)
	if err == nil || !strings.Contains(err.Error(), "its certificate may not be used by a server (extended key usage)") {
		t.Error(err)
	}
	err = connect(t, listen(t, server), server)
	if err == nil || !strings.Contains(err.Error(), "for servers: it is not valid, by its clock or rules") {
		t.Error(err)
	}
	log.await(t, "its certificate may not be used by a client (extended key usage)")
	if err := connect(t, listen(t, server), client); err != nil {
		t.Error("each on its own side:", err)
	}
}

func TestARuntimeIsWhoItsCertificateSays(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	dns := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, names }
	}
	cases := []struct {
		name     string
		change   func(*x509.Certificate)
		runtimes Runtimes
		host     string
		want     string
	}{
		{"the default name", nil, nil, "", ""},
		{"another name", func(c *x509.Certificate) { c.URIs[0].Path = "/other" }, nil, "",
			`its certificate is spiffe://prod/other; expected an identity whose name is "runtime" (PLUGMUX_RUNTIME_IDENTITY names another)`},
		{"the host that was dialled", dns("h.example"), nil, "h.example", ""},
		{"another host", dns("h.example"), nil, "g.example", "its certificate is h.example; expected"},
		{"a wildcard for the host", dns("*.example"), nil, "h.example", ""},
		{"a pattern", nil, Runtimes{"spiffe://prod/*"}, "", ""},
		{"a pattern for others", dns("h.example"), Runtimes{"spiffe://prod/*"}, "h.example", "its certificate is h.example; expected spiffe://prod/*"},
		{"no names", dns(), nil, "h.example", "its certificate has neither a SPIFFE id nor a DNS name; expected"},
		{"a wildcard alone", dns("*.example"), nil, "", "its certificate names only *.example, and an identity is one name; expected"},
		{"two ids", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "prod", Path: "/b"})
		}, nil, "",
			"its certificate has 2 SPIFFE ids, and must have one; expected"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.runtimes.Check(ca.Issue(t, runtimeID, c.change).Leaf, c.host)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Error(err)
			}
		})
	}
}

func TestWhatIsNoTLSIsToldAsThat(t *testing.T) {
	ca := remotetest.NewAuthority(t)
	credentials := FromMemory(ca.Issue(t, runtimeID, nil), ca.Pool(), "memory")
	log := capture(t)
	address := listen(t, credentials)
	plain, err := net.Dial("tcp", address.Dialled())
	if err == nil {
		_, err = plain.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		defer plain.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	log.await(t, "it does not speak TLS")
	for text, config := range map[string]*tls.Config{
		"it speaks no TLS 1.3":                               {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		"it showed no certificate, and mutual TLS needs one": {InsecureSkipVerify: true},
	} {
		if conn, err := tls.Dial("tcp", address.Dialled(), config); err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		log.await(t, text)
	}
	if err := connect(t, address, credentials); err != nil {
		t.Error("who is honest is kept out:", err)
	}
}

func TestFilesAreLoadedAnewWhenTheyChange(t *testing.T) {
	ca, directory := remotetest.NewAuthority(t), t.TempDir()
	ca.Write(t, directory, ca.Issue(t, runtimeID, nil))
	credentials, err := LoadFiles(Directory(directory))
	if err != nil {
		t.Fatal(err)
	}
	log := capture(t)
	renewed := ca.Issue(t, runtimeID, nil)
	ca.Write(t, directory, renewed)
	if !credentials.get().certificate.Leaf.Equal(renewed.Leaf) {
		t.Error("the old certificate is used")
	}
	log.await(t, "the certificate was renewed")

	other := t.TempDir()
	ca.Write(t, other, ca.Issue(t, pluginID, nil))
	half := Directory(directory)
	half.Cert = Directory(other).Cert // whose key is not there yet
	credentials.files = half
	if !credentials.get().certificate.Leaf.Equal(renewed.Leaf) {
		t.Error("a certificate without its key is used")
	}
	log.await(t, "the certificate was not renewed")
	if strings.Contains(log.buffer.String(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}
}
