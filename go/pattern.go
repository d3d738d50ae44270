package plugmux

import (
	"regexp"
	"strings"
)

// Pattern matches ids of secrets: components joined by slashes, where "*" stands for exactly one component and "**"
// for any number of them, none included.
type Pattern string

var wellFormed = regexp.MustCompile(`^(?:\*\*?|[A-Za-z0-9._:-]+)(?:/(?:\*\*?|[A-Za-z0-9._:-]+))*$`)

func (p Pattern) valid() bool { return wellFormed.MatchString(string(p)) }

// Match tells whether the pattern matches an id. It takes time in proportion to the length of the pattern times that
// of the id, at worst.
func (p Pattern) Match(id string) bool {
	pattern, rest := strings.Split(string(p), "/"), strings.Split(id, "/")
	// Only the last "**" can still have to take another component: whatever an earlier one would give up, the last can.
	var retryPattern, retryRest []string
	retry := false
	for len(rest) > 0 {
		switch {
		case len(pattern) > 0 && pattern[0] == "**":
			pattern = pattern[1:]
			retryPattern, retryRest, retry = pattern, rest, true
		case len(pattern) > 0 && (pattern[0] == "*" || pattern[0] == rest[0]):
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
