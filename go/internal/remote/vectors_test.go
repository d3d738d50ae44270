package remote

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The vectors that the SDKs of all languages share.
type vectors struct {
	Addresses struct {
		Valid    [][5]any
		Insecure []string
		Invalid  []any
	}
	Identities struct {
		Names              [][2]string
		OfCertificates     [][2]any     `json:"of_certificates"`
		NoneOfCertificates [][][]string `json:"none_of_certificates"`
		Patterns           [][3]any
		InvalidPatterns    []string `json:"invalid_patterns"`
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	data, err := os.ReadFile("../../../tests/vectors/remote.json")
	if err != nil {
		t.Fatal(err)
	}
	var read vectors
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Addresses.Valid) == 0 || len(read.Identities.Patterns) == 0 {
		t.Fatal("no cases")
	}
	return read
}

func TestVectorsOfAddresses(t *testing.T) {
	cases := readVectors(t).Addresses
	for _, c := range cases.Valid {
		address, err := ParseAddress(c[0].(string))
		if err != nil {
			t.Error(err)
			continue
		}
		want := Address{c[1].(string), c[2].(string), int(c[3].(float64))}
		if address != want || address.String() != c[4] {
			t.Errorf("%v is read as %#v and written as %v", c, address, address)
		}
	}
	for _, text := range cases.Insecure {
		if _, err := ParseAddress(text); err == nil || !strings.Contains(err.Error(), "has no TLS and leaves this machine") {
			t.Errorf("%s: %v", text, err)
		}
	}
	t.Setenv(insecureVariable, "1")
	for _, text := range cases.Insecure {
		if address, err := ParseAddress(text); err != nil || address.String() != text {
			t.Errorf("%s: %v, %v", text, address, err)
		}
	}
	for _, c := range cases.Invalid {
		text, ok := c.(string)
		if !ok {
			repeated := c.(map[string]any)
			text = repeated["prefix"].(string) + strings.Repeat(repeated["repeat"].(string), int(repeated["count"].(float64)))
		}
		if address, err := ParseAddress(text); err == nil {
			t.Errorf("%q is read as %v", text, address)
		}
	}
}

func TestVectorsOfIdentities(t *testing.T) {
	cases := readVectors(t).Identities
	for _, c := range cases.Names {
		if NameOf(c[0]) != c[1] {
			t.Errorf("%v: %s", c, NameOf(c[0]))
		}
	}
	for _, c := range cases.OfCertificates {
		var names [][]string
		for _, pair := range c[0].([]any) {
			kind := pair.([]any)
			names = append(names, []string{kind[0].(string), kind[1].(string)})
		}
		if identity, err := ofNames(names); err != nil || identity != c[1] {
			t.Errorf("%v: %s, %v", c, identity, err)
		}
	}
	for _, names := range cases.NoneOfCertificates {
		if identity, err := ofNames(names); err == nil {
			t.Errorf("%v: %s", names, identity)
		}
	}
	for _, c := range cases.Patterns {
		pattern, err := ParsePattern(c[0].(string))
		if err != nil || Matches(pattern, c[1].(string)) != c[2] {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, text := range cases.InvalidPatterns {
		if _, err := ParsePattern(text); err == nil {
			t.Errorf("%q is a pattern", text)
		}
	}
}

func ofNames(names [][]string) (string, error) {
	var uris, hosts []string
	for _, name := range names {
		switch name[0] {
		case "URI":
			uris = append(uris, name[1])
		case "DNS":
			hosts = append(hosts, name[1])
		}
	}
	return identityOf(uris, hosts)
}
