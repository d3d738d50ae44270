package remote

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"regexp"
	"strings"
)

var (
	spiffeID      = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$`)
	spiffePattern = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/(\*|[A-Za-z0-9._-]+))+$`)
	dnsPattern    = regexp.MustCompile(`^(\*|[a-z0-9_][a-z0-9_-]{0,62})(\.(\*|[a-z0-9_][a-z0-9_-]{0,62}))*$`)
)

const (
	maxIdentity = 2048
	spiffe      = "spiffe://"
	everybody   = "*"

	tagDNS = 2
	tagURI = 6
)

// subjectAltName is the object identifier of the extension that names the subject of a certificate (RFC 5280, 4.2.1.6).
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// IdentityOf returns who a certificate is: its SPIFFE id, or else its first DNS name that is no wildcard.
func IdentityOf(certificate *x509.Certificate) (string, error) {
	uris, hosts, err := alternativeNames(certificate)
	if err != nil {
		return "", err
	}
	return identityOf(uris, hosts)
}

func identityOf(uris, hosts []string) (string, error) {
	var ids []string
	for _, uri := range uris {
		if strings.HasPrefix(strings.ToLower(uri), "spiffe:") {
			ids = append(ids, uri)
		}
	}
	switch {
	case len(ids) > 1:
		return "", fmt.Errorf("its certificate has %d SPIFFE ids, and must have one", len(ids))
	case len(ids) == 1 && !isSPIFFE(ids[0]):
		return "", fmt.Errorf("its certificate has a SPIFFE id that is not valid: %.140q", ids[0])
	case len(ids) == 1:
		return ids[0], nil
	}
	for _, host := range hosts {
		if host = strings.ToLower(host); len(host) <= maxIdentity && hostName.MatchString(host) {
			return host, nil
		}
	}
	if len(hosts) > 0 {
		return "", fmt.Errorf("its certificate names only %.140s, and an identity is one name", hosts[0])
	}
	return "", fmt.Errorf("its certificate has neither a SPIFFE id nor a DNS name")
}

func isSPIFFE(id string) bool {
	for _, segment := range strings.Split(id, "/")[1:] {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return len(id) <= maxIdentity && spiffeID.MatchString(id)
}

// alternativeNames reads the names of a certificate as they are written: crypto/x509 parses URIs, and so changes them.
func alternativeNames(certificate *x509.Certificate) (uris, hosts []string, err error) {
	for _, extension := range certificate.Extensions {
		if !extension.Id.Equal(subjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(extension.Value, &names); err != nil {
			return nil, nil, fmt.Errorf("the names of its certificate cannot be read: %w", err)
		}
		for _, name := range names {
			switch name.Tag {
			case tagURI:
				uris = append(uris, string(name.Bytes))
			case tagDNS:
				hosts = append(hosts, string(name.Bytes))
			}
		}
	}
	return uris, hosts, nil
}

// NameOf returns the name of an identity: the last segment of a SPIFFE path, or the first label of a DNS name.
func NameOf(identity string) string {
	if strings.HasPrefix(identity, spiffe) {
		return identity[strings.LastIndexByte(identity, '/')+1:]
	}
	name, _, _ := strings.Cut(identity, ".")
	return name
}

// ParsePattern checks a pattern of identities, where * stands for one segment or one label, and returns it as it is compared.
func ParsePattern(pattern string) (string, error) {
	if !strings.HasPrefix(pattern, spiffe) {
		pattern = strings.ToLower(pattern)
	}
	if pattern == everybody || spiffePattern.MatchString(pattern) || dnsPattern.MatchString(pattern) {
		return pattern, nil
	}
	return "", fmt.Errorf("%q is not an identity: write spiffe://trust-domain/path or a DNS name, where * stands for one segment "+
		"or one label", pattern)
}

// Matches reports whether a pattern that [ParsePattern] has returned matches an identity.
func Matches(pattern, identity string) bool {
	if pattern == everybody {
		return true
	}
	isPath := strings.HasPrefix(pattern, spiffe)
	if isPath != strings.HasPrefix(identity, spiffe) {
		return false
	}
	separator := "."
	if isPath {
		separator = "/"
	}
	wanted, given := strings.Split(pattern, separator), strings.Split(identity, separator)
	if len(wanted) != len(given) {
		return false
	}
	for i, part := range wanted {
		if part != "*" && part != given[i] {
			return false
		}
	}
	return true
}
