package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// ConnectTimeout is how long a connection and its handshake may take together.
const ConnectTimeout = 5 * time.Second

// runtimeName is the name of the identity that a runtime has, where a plugin is not told otherwise.
const runtimeName = "runtime"

// Runtimes says whose runtimes a plugin accepts: patterns of identities. Without any, these are the identities whose name is
// "runtime" and, for a plugin that dials, certificates that cover the host that it has dialled.
type Runtimes []string

// Check fails if a certificate is not that of a runtime that is accepted. The host is empty where the other end has dialled.
func (r Runtimes) Check(certificate *x509.Certificate, host string) (string, error) {
	identity, err := IdentityOf(certificate)
	expected := strings.Join(r, " or ")
	if len(r) == 0 {
		if err == nil && NameOf(identity) == runtimeName {
			return identity, nil
		}
		if host != "" && certificate.VerifyHostname(host) == nil {
			return identity, nil
		}
		expected = fmt.Sprintf("an identity whose name is %q", runtimeName)
		if host != "" {
			expected += ", or a certificate for " + host
		}
		expected += " (PLUGMUX_RUNTIME_IDENTITY names another)"
	}
	if err != nil {
		return "", fmt.Errorf("%w; expected %s", err, expected)
	}
	for _, pattern := range r {
		if Matches(pattern, identity) {
			return identity, nil
		}
	}
	return "", fmt.Errorf("its certificate is %s; expected %s", identity, expected)
}

// Connect connects to an address that is not looked up, and checks that a runtime answers there before anything is sent.
// The server name is what the other end is told (SNI), and what its certificate may cover.
func Connect(ctx context.Context, address Address, credentials *Credentials, runtimes Runtimes, serverName string) (net.Conn, error) {
	limited, cancel := context.WithTimeoutCause(ctx, ConnectTimeout, fmt.Errorf("it did not answer within %v", ConnectTimeout))
	defer cancel()
	if address.Port == 0 {
		return nil, fmt.Errorf("%s cannot be dialled: port 0 is for listening alone", address)
	}
	if address.IsSecure() && credentials == nil {
		return nil, NoCertificate(address)
	}
	dialer := &net.Dialer{KeepAlive: -1, Control: tune} // yamux has keepalives of its own
	conn, err := dialer.DialContext(limited, "tcp", address.Dialled())
	if err != nil {
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return nil, fmt.Errorf("%s: %s", address, describeError(err))
	}
	if !address.IsSecure() {
		return conn, nil
	}
	secure := tls.Client(conn, credentials.clientConfig(serverName))
	if err := secure.HandshakeContext(limited); err != nil {
		_ = conn.Close()
		return nil, credentials.Refusal(address.String(), err, true)
	}
	if _, err := runtimes.Check(secure.ConnectionState().PeerCertificates[0], serverName); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return secure, nil
}

// NoCertificate is the error for an address that needs a certificate where there is none.
func NoCertificate(address Address) error {
	return fmt.Errorf("%s needs a certificate: set PLUGMUX_TLS_DIR, or PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY and PLUGMUX_TLS_CA, "+
		"or give Config.TLS", address)
}

// describeError is why, in few words: the errors of package net repeat the address.
func describeError(err error) string {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Err.Error()
	}
	return err.Error()
}
