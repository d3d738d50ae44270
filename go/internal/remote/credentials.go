package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ALPN is the protocol that both ends offer, before HTTP/1.1 for programs such as curl.
const ALPN = "plugmux/1"

const (
	lookInterval = 10 * time.Second
	warnAgain    = 24 * time.Hour
	lastHour     = time.Hour
)

// Files are the PEM files of this end: its certificate with those of the CAs between, its key, and the CAs that it trusts.
type Files struct{ Cert, Key, CA string }

// Directory names the three files of a directory, as cert-manager names them.
func Directory(path string) Files {
	return Files{filepath.Join(path, "tls.crt"), filepath.Join(path, "tls.key"), filepath.Join(path, "ca.crt")}
}

func (f Files) all() []string { return []string{f.Cert, f.Key, f.CA} }

// Credentials are the certificate of this end, its key, and the CAs that are trusted. Those of files are loaded anew when the
// files change; links that are open go on.
type Credentials struct {
	files Files
	given *tls.Config

	lock    sync.Mutex
	seen    [3]fileState
	current loaded
	warned  time.Time
}

// fileState changes whenever a file is written or replaced.
type fileState struct {
	modified time.Time
	size     int64
	info     os.FileInfo
}

type loaded struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	origin      string // of the CAs, for errors
}

// LoadFiles loads credentials from files.
func LoadFiles(files Files) (*Credentials, error) {
	c := &Credentials{files: files}
	for _, file := range files.all() {
		if file == "" {
			return nil, errors.New("TLS needs three PEM files: a certificate, its key and the CAs (PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY, " +
				"PLUGMUX_TLS_CA, or PLUGMUX_TLS_DIR with tls.crt, tls.key and ca.crt)")
		}
	}
	seen, err := c.look()
	if err == nil {
		c.current, err = c.load()
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be used: %w", err)
	}
	c.seen = seen
	c.warnNearEnd()
	return c, nil
}

// FromConfig takes credentials from a configuration of crypto/tls, which must have certificates and RootCAs.
func FromConfig(config *tls.Config) (*Credentials, error) {
	if config.RootCAs == nil {
		return nil, errors.New("a tls.Config has no RootCAs: name the CAs that are trusted")
	}
	if len(config.Certificates) == 0 && (config.GetCertificate == nil || config.GetClientCertificate == nil) {
		return nil, errors.New("a tls.Config has no Certificates: both ends show one")
	}
	return &Credentials{given: config, current: loaded{roots: config.RootCAs, origin: "the given tls.Config"}}, nil
}

// FromMemory makes credentials that are in no file.
func FromMemory(certificate tls.Certificate, roots *x509.CertPool, origin string) *Credentials {
	return &Credentials{current: loaded{certificate, roots, origin}}
}

// Replace has all later handshakes show another certificate.
func (c *Credentials) Replace(certificate tls.Certificate) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.current.certificate = certificate
}

// Watch looks at the files until the context ends, and warns before the certificate ends.
func (c *Credentials) Watch(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.get()
			c.warnNearEnd()
		}
	}
}

// get returns what is in use now; it looks at the files first.
func (c *Credentials) get() loaded {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.files == (Files{}) {
		return c.current
	}
	seen, err := c.look()
	if err == nil && sameFiles(seen, c.seen) {
		return c.current
	}
	var renewed loaded
	if err == nil {
		c.seen = seen
		renewed, err = c.load()
	}
	if err != nil {
		c.warnOnce("the certificate was not renewed: " + err.Error())
		return c.current
	}
	c.current, c.warned = renewed, time.Time{}
	slog.Info("the certificate was renewed", "certificate", c.describe())
	return c.current
}

func (c *Credentials) look() (seen [3]fileState, err error) {
	for i, file := range c.files.all() {
		info, err := os.Stat(file)
		if err != nil {
			return seen, err
		}
		seen[i] = fileState{info.ModTime(), info.Size(), info}
	}
	return seen, nil
}

func sameFiles(one, other [3]fileState) bool {
	for i := range one {
		if one[i].modified != other[i].modified || one[i].size != other[i].size || !os.SameFile(one[i].info, other[i].info) {
			return false
		}
	}
	return true
}

func (c *Credentials) load() (loaded, error) {
	certificate, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return loaded{}, fmt.Errorf("%s and %s are not a PEM certificate and its key: %w", c.files.Cert, c.files.Key, err)
	}
	text, err := os.ReadFile(c.files.CA)
	if err != nil {
		return loaded{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return loaded{}, fmt.Errorf("%s holds no PEM certificates of CAs", c.files.CA)
	}
	return loaded{certificate, roots, c.files.CA}, nil
}

func (c *Credentials) warnOnce(text string) {
	if time.Since(c.warned) >= warnAgain {
		c.warned = time.Now()
		slog.Warn(text, "in use", c.describe())
	}
}

func (c *Credentials) warnNearEnd() {
	c.lock.Lock()
	defer c.lock.Unlock()
	leaf := c.current.certificate.Leaf
	if leaf == nil {
		return
	}
	lifetime, left := leaf.NotAfter.Sub(leaf.NotBefore), time.Until(leaf.NotAfter)
	switch {
	case left <= 0:
		c.warnOnce("the certificate has expired: no peer accepts it; renew it")
	case left < max(lifetime/3, lastHour):
		c.warnOnce("the certificate ends soon and has not been renewed")
	}
}

// describe says what the own certificate is.
func (c *Credentials) describe() string { return describe(c.current.certificate.Leaf) }

func describe(leaf *x509.Certificate) string {
	if leaf == nil {
		return "of the given tls.Config"
	}
	identity, err := IdentityOf(leaf)
	if err != nil {
		identity = "which names no identity"
	}
	return fmt.Sprintf("%s, valid from %s until %s, for %s", identity, date(leaf.NotBefore), date(leaf.NotAfter), usage(leaf))
}

func usage(leaf *x509.Certificate) string {
	var servers, clients bool
	for _, use := range leaf.ExtKeyUsage {
		servers = servers || use == x509.ExtKeyUsageServerAuth || use == x509.ExtKeyUsageAny
		clients = clients || use == x509.ExtKeyUsageClientAuth || use == x509.ExtKeyUsageAny
	}
	switch {
	case servers && !clients:
		return "servers"
	case clients && !servers:
		return "clients"
	}
	return "both"
}

func date(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// clientConfig is the configuration to dial with. The peer's chain is verified by [verifyServer], as crypto/tls itself also
// compares host names.
func (c *Credentials) clientConfig(serverName string) *tls.Config {
	now := c.get()
	config := &tls.Config{}
	if c.given != nil {
		config = c.given.Clone()
	} else {
		// By itself a client keeps a certificate back that no CA of the server has signed, and the server could not say so.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &now.certificate, nil }
	}
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{ALPN, "http/1.1"}
	config.ServerName = serverName
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error { return verifyServer(state, now.roots) }
	return config
}

// serverConfig is the configuration to listen with; each handshake uses what is in use then.
func (c *Credentials) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := c.get()
			config := &tls.Config{}
			if c.given != nil {
				config = c.given.Clone()
			} else {
				config.Certificates = []tls.Certificate{now.certificate}
			}
			config.MinVersion = tls.VersionTLS13
			config.NextProtos = []string{ALPN, "http/1.1"}
			config.ClientAuth = tls.RequireAndVerifyClientCert
			config.ClientCAs = now.roots
			config.SessionTicketsDisabled = true // a session would outlive the certificate and the CA
			return config, nil
		},
	}
}

// VerifiedConfig is a configuration to dial with which verifies that the peer's certificate is that of a runtime, signed by one
// of the CAs. The name of the host is not compared.
func VerifiedConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := verifyServer(state, roots); err != nil {
				return err
			}
			_, err := Runtimes(nil).Check(state.PeerCertificates[0], state.ServerName)
			return err
		},
	}
}

func verifyServer(state tls.ConnectionState, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}
