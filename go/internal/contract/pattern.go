package contract

import (
	"fmt"
	"regexp"
)

const idComponent = `[A-Za-z0-9._:-]+`

var (
	idForm      = regexp.MustCompile(`^` + idComponent + `(?:/` + idComponent + `)*$`)
	patternForm = regexp.MustCompile(`^(?:\*\*?|` + idComponent + `)(?:/(?:\*\*?|` + idComponent + `))*$`)
)

// ValidID reports whether a text is the id of a secret.
func ValidID(id string) bool { return len(id) <= MaxPatternCharacters && idForm.MatchString(id) }

// ValidPattern reports whether a text is a pattern of ids.
func ValidPattern(pattern string) bool {
	return len(pattern) <= MaxPatternCharacters && patternForm.MatchString(pattern)
}

// PatternError says how a pattern must be formed.
func PatternError(pattern string) error {
	return fmt.Errorf(`the pattern %.80q is not valid: components are joined by slashes, and each is "*", "**" or made `+
		"of letters, digits and ._:-, at most %d characters in all", pattern, MaxPatternCharacters)
}
