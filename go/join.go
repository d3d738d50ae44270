package plugmux

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	"plugmux.dev/go/internal/remote"
)

const (
	fingerprintPrefix = "sha256:"
	maxJoinBytes      = 64 << 10
	renewalRetry      = time.Minute
)

// joiner gets a plugin that a runtime has started on another machine a certificate of that runtime's own CA. The launch
// configuration has the fingerprint of the CA and a token that works once. The key is made here, and kept in memory alone.
type joiner struct {
	address     remote.Address
	fingerprint string
	roots       *x509.CertPool
	key         *ecdsa.PrivateKey
}

// join returns the credentials of the plugin, and how they are renewed until a context ends.
func join(ctx context.Context, address remote.Address, launch *launchConfig) (network, func(context.Context), error) {
	j := &joiner{address: address, fingerprint: launch.CA}
	ctx, cancel := context.WithTimeoutCause(ctx, launch.Timeout, fmt.Errorf("no certificate within %v", launch.Timeout))
	defer cancel()
	if err := j.pinAuthority(ctx); err != nil {
		return network{}, nil, err
	}
	var err error
	if j.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return network{}, nil, err
	}
	certificate, err := j.request(ctx, launch.Token, nil)
	if err != nil {
		return network{}, nil, fmt.Errorf("the runtime at %s gave this plugin no certificate: %w", address, err)
	}
	credentials := remote.FromMemory(certificate, j.roots, "the runtime that launched this plugin")
	renew := func(ctx context.Context) { j.renewInTime(ctx, credentials, certificate) }
	return network{credentials: credentials}, renew, nil
}

// pinAuthority asks the runtime for its CA, and holds the CA against the fingerprint. Nothing secret is sent.
func (j *joiner) pinAuthority(ctx context.Context) error {
	client := j.client(&tls.Config{InsecureSkipVerify: true}) // the fingerprint decides
	answer, err := client.GetAuthority(ctx, &plugmuxv1.GetAuthorityRequest{})
	if err != nil {
		return fmt.Errorf("the runtime at %s did not name its CA: %w", j.address, err)
	}
	block, _ := pem.Decode([]byte(answer.GetCaPem()))
	if block == nil {
		return fmt.Errorf("the runtime at %s did not name its CA: its answer holds no certificate", j.address)
	}
	digest := sha256.Sum256(block.Bytes)
	came := fingerprintPrefix + hex.EncodeToString(digest[:])
	if subtle.ConstantTimeCompare([]byte(came), []byte(j.fingerprint)) != 1 {
		return fmt.Errorf("the runtime at %s is not the one that launched this plugin: its CA is %s, and the launch names %s",
			j.address, came, j.fingerprint)
	}
	authority, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("the CA of the runtime at %s cannot be read: %w", j.address, err)
	}
	j.roots = x509.NewCertPool()
	j.roots.AddCert(authority)
	return nil
}

// request gets a certificate for the key: with the token, or with the certificate that the plugin has.
func (j *joiner) request(ctx context.Context, token string, present *tls.Certificate) (tls.Certificate, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA256}, j.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	config := remote.VerifiedConfig(j.roots)
	if present != nil {
		config.Certificates = []tls.Certificate{*present}
	}
	answer, err := j.client(config).Join(ctx, &plugmuxv1.JoinRequest{Token: token, Csr: csr})
	if err != nil {
		return tls.Certificate{}, err
	}
	certificate := tls.Certificate{PrivateKey: j.key}
	for rest := []byte(answer.GetCertificatePem()); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate.Certificate = append(certificate.Certificate, block.Bytes)
	}
	if len(certificate.Certificate) == 0 {
		return tls.Certificate{}, errors.New("its answer holds no certificate")
	}
	certificate.Leaf, err = x509.ParseCertificate(certificate.Certificate[0])
	if err == nil && !j.key.PublicKey.Equal(certificate.Leaf.PublicKey) {
		err = errors.New("its certificate is for another key")
	}
	return certificate, err
}

// renewInTime renews the certificate whenever two thirds of its life are over.
func (j *joiner) renewInTime(ctx context.Context, credentials *remote.Credentials, certificate tls.Certificate) {
	for {
		pause(ctx, renewalDue(certificate.Leaf, time.Now()))
		if ctx.Err() != nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, remoteDialTimeout)
		renewed, err := j.request(limited, "", &certificate)
		cancel()
		if err != nil {
			slog.Warn("the certificate was not renewed", "error", err, "valid until", certificate.Leaf.NotAfter)
			pause(ctx, renewalRetry)
			continue
		}
		certificate = renewed
		credentials.Replace(certificate)
	}
}

// renewalDue is how long a certificate is kept. By a clock that is ahead of the runtime's, each new one is due or over at once.
func renewalDue(certificate *x509.Certificate, now time.Time) time.Duration {
	lifetime, left := certificate.NotAfter.Sub(certificate.NotBefore), certificate.NotAfter.Sub(now)
	least := renewalRetry
	if left > 0 {
		least = min(left/10, renewalRetry)
	}
	return max(certificate.NotBefore.Add(lifetime*2/3).Sub(now), least)
}

func (j *joiner) client(config *tls.Config) plugmuxv1connect.JoinServiceClient {
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = []string{remote.ALPN, "http/1.1"}
	config.ServerName = j.address.Host
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: remoteDialTimeout}, Config: config}
			return dialer.DialContext(ctx, "tcp", j.address.Dialled())
		},
		DisableKeepAlives: true,
	}
	return plugmuxv1connect.NewJoinServiceClient(&http.Client{Transport: transport}, "https://"+j.address.Dialled(),
		connect.WithReadMaxBytes(maxJoinBytes))
}
