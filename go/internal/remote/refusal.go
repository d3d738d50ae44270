package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// alerts says why a peer has refused our certificate, by the TLS alert that it sent (RFC 8446, 6.2) in the words of crypto/tls,
// which does not tell the number.
var alerts = map[string]string{
	"tls: bad certificate":               "it is not valid, by its clock or rules",
	"tls: unsupported certificate":       "its extended key usage does not fit",
	"tls: revoked certificate":           "it has been revoked",
	"tls: expired certificate":           "it has expired, by its clock",
	"tls: unknown certificate":           "it does not accept it",
	"tls: unknown certificate authority": "it trusts another CA",
	"tls: access denied":                 "it does not accept it",
	"tls: certificate required":          "it wants a certificate, and none was given",
}

const alertProtocolVersion = "tls: protocol version not supported"

// alertOf returns the words of the alert that the peer has sent; empty if the error is none.
func alertOf(err error) string {
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "remote error" {
		return operation.Err.Error()
	}
	return ""
}

// Refusal says in words why a handshake has failed, or why a connection ended that tells the same: which end refused what.
func (c *Credentials) Refusal(where string, err error, byServer bool) error {
	return fmt.Errorf("%s: %s", where, c.words(err, byServer))
}

// IsRefusal reports whether the peer has sent a TLS alert: a client learns with its first read what a server of TLS 1.3 holds
// of its certificate.
func IsRefusal(err error) bool { return alertOf(err) != "" }

func (c *Credentials) words(err error, byServer bool) string {
	var verification *tls.CertificateVerificationError
	alert := alertOf(err)
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &verification):
		end := "a client"
		if byServer {
			end = "a server"
		}
		return "its certificate " + c.verification(verification, end)
	case alerts[alert] != "":
		c.lock.Lock()
		defer c.lock.Unlock()
		return fmt.Sprintf("it refused our certificate %s: %s", c.describe(), alerts[alert])
	case alert == alertProtocolVersion, strings.Contains(err.Error(), "unsupported versions"),
		strings.Contains(err.Error(), "unsupported protocol version"), strings.Contains(err.Error(), "selected TLS"):
		return "it speaks no TLS 1.3"
	case strings.Contains(err.Error(), "didn't provide a certificate"):
		return "it showed no certificate, and mutual TLS needs one"
	case errors.As(err, &record):
		return "it does not speak TLS"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it did not complete the TLS handshake in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it ended the connection during the TLS handshake"
	}
	var network *net.OpError // which tells addresses beside the fault
	if errors.As(err, &network) {
		err = network.Err
	}
	return "the TLS handshake failed: " + err.Error()
}

func (c *Credentials) verification(err *tls.CertificateVerificationError, end string) string {
	c.lock.Lock()
	origin := c.current.origin
	c.lock.Unlock()
	leaf := err.UnverifiedCertificates[0]
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore):
		return "is not valid yet (it is from " + date(invalid.Cert.NotBefore) + ")"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return "has expired (it was valid until " + date(invalid.Cert.NotAfter) + ")"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "may not be used by " + end + " (extended key usage)"
	case errors.As(err, &invalid) && invalid.Reason == x509.NotAuthorizedToSign:
		return "is signed by one that is no CA"
	case errors.As(err, &unknown) && string(leaf.RawIssuer) == string(leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil:
		return "is self-signed, and not one of the CAs of " + origin
	case errors.As(err, &unknown):
		return "is signed by no CA of " + origin
	}
	return "is not valid: " + err.Err.Error()
}
