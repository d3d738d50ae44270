package main

import (
	"regexp"
	"strings"
)

var (
	patternForm = regexp.MustCompile(`^(?:\*\*|\*|[A-Za-z0-9._:-]+)(?:/(?:\*\*|\*|[A-Za-z0-9._:-]+))*$`)
	versionForm = regexp.MustCompile(`^v\d+(?:\.\d+(?:\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?)?$`)
)

// matches tells whether a pattern accepts components: those of an id, or of
// another pattern, whose "*" a literal accepts too.
func matches(pattern, components []string) bool {
	if len(pattern) == 0 {
		return len(components) == 0
	}
	if pattern[0] == "**" {
		return matches(pattern[1:], components) || len(components) > 0 && matches(pattern, components[1:])
	}
	if len(components) == 0 {
		return false
	}
	one := pattern[0] == "*" || pattern[0] == components[0] || components[0] == "*"
	return one && matches(pattern[1:], components[1:])
}

func includes(pattern, other string) bool {
	return matches(strings.Split(pattern, "/"), strings.Split(other, "/"))
}

// narrower gives the pattern to ask a provider with, or nothing.
func narrower(own, asked string) (string, bool) {
	if includes(own, asked) {
		return asked, true
	}
	return own, includes(asked, own)
}
