// Package remotetest makes certificates for tests, good and bad ones.
package remotetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a CA for the time of a test.
type Authority struct {
	PEM         []byte
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes a CA.
func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{CommonName: "test CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	certificate := parse(t, der, err)
	return &Authority{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), certificate, key}
}

// Pool holds the CA alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue makes a certificate with a SPIFFE id; change, which may be nil, changes it before it is signed.
func (a *Authority) Issue(t *testing.T, id string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	return a.issue(t, newKey(t), id, change)
}

// SelfSigned makes a certificate that no CA has signed.
func (a *Authority) SelfSigned(t *testing.T, id string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	self := &Authority{certificate: template(t, id), key: key}
	return self.issue(t, key, id, nil)
}

func (a *Authority) issue(t *testing.T, key *ecdsa.PrivateKey, id string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	made := template(t, id)
	if change != nil {
		change(made)
	}
	der, err := x509.CreateCertificate(rand.Reader, made, a.certificate, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parse(t, der, err)}
}

// Sign signs the key of a signing request.
func (a *Authority) Sign(t *testing.T, csr []byte, id string) []byte {
	t.Helper()
	request, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(t, id), a.certificate, request.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Write writes a certificate, its key and the CA into a directory: tls.crt, tls.key and ca.crt.
func (a *Authority) Write(t *testing.T, directory string, certificate tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"ca.crt":  a.PEM,
	}
	for name, data := range files {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

func template(t *testing.T, id string) *x509.Certificate {
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial(t),
		Subject:      pkix.Name{CommonName: id},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		URIs:         []*url.URL{uri},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t *testing.T) *big.Int {
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func parse(t *testing.T, der []byte, err error) *x509.Certificate {
	t.Helper()
	if err == nil {
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(der); err == nil {
			return certificate
		}
	}
	t.Fatal(err)
	return nil
}
