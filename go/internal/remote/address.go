// Package remote has what a link over a network needs besides a connection: addresses, certificates, and who is who.
package remote

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// insecureVariable is the environment variable that, set to 1, lets tcp:// leave this machine: for tests.
const insecureVariable = "PLUGMUX_INSECURE_TCP"

var (
	schemes  = []string{"tls", "tcp", "tls+dns", "tls+srv"}
	hostName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*$`)
	srvName  = regexp.MustCompile(`^_[a-z0-9-]{1,62}\._(?:tcp|udp)\.(.+)$`)
	digits   = regexp.MustCompile(`^[0-9]{1,5}$`)
)

const maxHostName = 253

// Address is a place in the network.
type Address struct {
	Scheme string // tls, tcp, tls+dns or tls+srv
	Host   string // a DNS name in lower case, or an IP address without brackets
	Port   int    // 0 has the system choose one to listen at, and stands where SRV records name the ports
}

// IsNetwork reports whether a text is meant as an address in the network.
func IsNetwork(text string) bool {
	scheme, _, found := strings.Cut(text, "://")
	return found && slices.Contains(schemes, scheme)
}

// ParseAddress parses an address as a person writes it.
func ParseAddress(text string) (Address, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	if !IsNetwork(text) {
		return Address{}, invalid(text, "the scheme is not known")
	}
	if scheme == "tls+srv" {
		host := strings.ToLower(rest)
		found := srvName.FindStringSubmatch(host)
		if found == nil || !isHostName(found[1]) {
			return Address{}, invalid(text, "the name of SRV records is _service._tcp.name, without a port")
		}
		return Address{Scheme: scheme, Host: host}, nil
	}
	host, port, err := hostAndPort(text, rest)
	if err != nil {
		return Address{}, err
	}
	address := Address{scheme, host, port}
	if _, isIP := address.IP(); scheme == "tls+dns" && isIP {
		return Address{}, invalid(text, "it has an IP address where a name is looked up; write tls://")
	}
	if scheme == "tcp" && os.Getenv(insecureVariable) != "1" && !address.IsLoopback() {
		return Address{}, fmt.Errorf("the address %q has no TLS and leaves this machine: write tls://%s, or allow it for tests (%s=1)",
			text, rest, insecureVariable)
	}
	return address, nil
}

// IP returns the IP address, if the host is one.
func (a Address) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip, err == nil
}

// IsLoopback reports whether the address cannot leave this machine.
func (a Address) IsLoopback() bool {
	ip, isIP := a.IP()
	return a.Host == "localhost" || isIP && ip.IsLoopback()
}

// IsSecure reports whether both ends show certificates.
func (a Address) IsSecure() bool { return a.Scheme != "tcp" }

// IsLookedUp reports whether the address stands for all that a resolver gives for a name.
func (a Address) IsLookedUp() bool { return a.Scheme == "tls+dns" || a.Scheme == "tls+srv" }

// ServerName is what a certificate is held against: the host, and for SRV records the name behind the service.
func (a Address) ServerName() string {
	if found := srvName.FindStringSubmatch(a.Host); a.Scheme == "tls+srv" && found != nil {
		return found[1]
	}
	return a.Host
}

// Dialled is the address as [net.Dial] takes it.
func (a Address) Dialled() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

func (a Address) String() string {
	if a.Scheme == "tls+srv" {
		return a.Scheme + "://" + a.Host
	}
	return a.Scheme + "://" + a.Dialled()
}

func hostAndPort(text, rest string) (string, int, error) {
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 || !digits.MatchString(rest[colon+1:]) {
		return "", 0, invalid(text, "it needs a port from 0 to 65535")
	}
	port, err := strconv.ParseUint(rest[colon+1:], 10, 16)
	if err != nil {
		return "", 0, invalid(text, "it needs a port from 0 to 65535")
	}
	host := strings.ToLower(rest[:colon])
	if inside, bracketed := strings.CutPrefix(host, "["); bracketed && strings.HasSuffix(inside, "]") {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inside, "]"))
		switch {
		case err != nil || !ip.Is6():
			return "", 0, invalid(text, "the brackets hold no IPv6 address")
		case ip.Zone() != "":
			return "", 0, invalid(text, "it names an interface of one machine")
		}
		return ip.String(), int(port), nil
	}
	if strings.Contains(host, ":") {
		return "", 0, invalid(text, "an IPv6 address stands in brackets")
	}
	_, err = netip.ParseAddr(host)
	if numeric := strings.Trim(host, "0123456789.") == ""; numeric && err != nil || !numeric && !isHostName(host) {
		return "", 0, invalid(text, "it has neither a host name nor an IP address")
	}
	return host, int(port), nil
}

func isHostName(host string) bool { return len(host) <= maxHostName && hostName.MatchString(host) }

func invalid(text, why string) error {
	return fmt.Errorf("the address %.140q is not valid, as %s: write tls://host:port, tls://[IPv6]:port, tls+dns://name:port, "+
		"tls+srv://_service._tcp.name or tcp://127.0.0.1:port", text, why)
}
