package plugmux

import (
	"strings"

	"plugmux.dev/go/internal/contract"
)

// Pattern matches ids of secrets. Like an id, it consists of components joined by slashes; "*" matches exactly one
// component, and "**" any number of components, including none.
type Pattern string

// Match reports whether the pattern matches an id. It is false for a text that is not a valid id. In the worst case it takes
// time proportional to the product of the two lengths.
func (p Pattern) Match(id string) bool {
	return contract.ValidID(id) && p.covers(id, func(own, other string) bool { return own == other })
}

// Includes reports whether the pattern covers another one. As the wire defines it, a literal component covers "*" as well,
// so "a/b" includes "a/*": a provider with one id of a folder is asked when the folder is asked for.
func (p Pattern) Includes(other Pattern) bool {
	return p.covers(string(other), func(own, other string) bool { return own == other || other == "*" })
}

// Filter returns the narrower of two patterns if one includes the other, and false if neither does.
func (p Pattern) Filter(other Pattern) (Pattern, bool) {
	if p.Includes(other) {
		return other, true
	}
	return p, other.Includes(p)
}

// covers matches the components of a text; same compares a component that is not a wildcard.
func (p Pattern) covers(text string, same func(own, other string) bool) bool {
	pattern, rest := strings.Split(string(p), "/"), strings.Split(text, "/")
	// On a mismatch, only the last "**" needs to take one more component: it can take whatever an earlier one could.
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
