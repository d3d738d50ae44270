package plugmux

import (
	"fmt"
	"regexp"
	"strings"
)

// Pattern matches ids of secrets: components joined by slashes, where "*" stands for exactly one component and "**"
// for any number of them, none included.
type Pattern string

const idComponent = `[A-Za-z0-9._:-]+`

var (
	idForm      = regexp.MustCompile(`^` + idComponent + `(?:/` + idComponent + `)*$`)
	patternForm = regexp.MustCompile(`^(?:\*\*?|` + idComponent + `)(?:/(?:\*\*?|` + idComponent + `))*$`)
)

func (p Pattern) valid() bool {
	return len(p) <= maxPatternCharacters && patternForm.MatchString(string(p))
}

func errPatternForm(p Pattern) error {
	return fmt.Errorf(`the pattern %.80q is not valid: components are joined by slashes, and each is "*", "**" or made `+
		"of letters, digits and ._:-, at most %d characters in all", string(p), maxPatternCharacters)
}

// Match tells whether the pattern matches an id; what is not a well-formed id it does not. It takes time in proportion
// to the length of the pattern times that of the id, at worst.
func (p Pattern) Match(id string) bool {
	return validID(id) && p.covers(id, func(own, other string) bool { return own == other })
}

// Includes tells whether the pattern matches what another one matches. A component that is written out includes "*"
// too, as the wire has it: a provider of one id is asked when all of its folder are asked for.
func (p Pattern) Includes(other Pattern) bool {
	return p.covers(string(other), func(own, other string) bool { return own == other || other == "*" })
}

// Filter gives the narrower of two patterns of which one includes the other; false where neither does.
func (p Pattern) Filter(other Pattern) (Pattern, bool) {
	if p.Includes(other) {
		return other, true
	}
	return p, other.Includes(p)
}

func validID(id string) bool { return len(id) <= maxPatternCharacters && idForm.MatchString(id) }

// covers matches the components of a text; same compares a component that is no wildcard.
func (p Pattern) covers(text string, same func(own, other string) bool) bool {
	pattern, rest := strings.Split(string(p), "/"), strings.Split(text, "/")
	// Only the last "**" can still have to take another component: whatever an earlier one would give up, the last can.
	var retryPattern, retryRest []string
	retry := false
	for len(rest) > 0 {
		switch {
		case len(pattern) > 0 && pattern[0] == "**":
			pattern = pattern[1:]
			retryPattern, retryRest, retry = pattern, rest, true
		case len(pattern) > 0 && (pattern[0] == "*" || same(pattern[0], rest[0])):
			pattern, rest = pattern[1:], rest[1:]
		case retry:
			retryRest = retryRest[1:]
			pattern, rest = retryPattern, retryRest
		default:
			return false
		}
	}
	for len(pattern) > 0 && pattern[0] == "**" {
		pattern = pattern[1:]
	}
	return len(pattern) == 0
}
