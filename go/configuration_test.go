package plugmux

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type limits struct {
	Regions []string
	Quotas  map[string]int8
	Nested  *struct{ Names map[string][]string }
	Any     any
	hidden  map[string]int
}

func TestAConfigurationDoesNotChangeTheDefault(t *testing.T) {
	settings := &Settings[limits]{Default: limits{
		Regions: []string{"eu", "us"},
		Quotas:  map[string]int8{"eu": 1},
		Nested:  &struct{ Names map[string][]string }{map[string][]string{"a": {"x"}}},
		Any:     map[string]any{"k": 1},
		hidden:  map[string]int{"h": 1},
	}}
	if err := settings.take(`{"Regions": ["asia"], "Quotas": {"us": 2}, "Nested": {"Names": {"a": ["y"], "b": []}}, "Any": {"l": 2}}`, nil); err != nil {
		t.Fatal(err)
	}
	if got := settings.Get(); !slices.Equal(got.Regions, []string{"asia"}) || !maps.Equal(got.Quotas, map[string]int8{"eu": 1, "us": 2}) || got.hidden["h"] != 1 {
		t.Error(got)
	}
	if err := settings.take(`{}`, nil); err != nil {
		t.Fatal(err)
	}
	for _, got := range []limits{settings.Get(), settings.Default} {
		names := got.Nested.Names
		if !slices.Equal(got.Regions, []string{"eu", "us"}) || len(got.Quotas) != 1 || len(names) != 1 || names["a"][0] != "x" || len(got.Any.(map[string]any)) != 1 {
			t.Error(got)
		}
	}
}

func TestAnErrorOfAConfigurationDoesNotRepeatAValue(t *testing.T) {
	for text, want := range map[string]*regexp.Regexp{
		// From Go 1.27 on, encoding/json names the key as well.
		`{"Quotas": {"eu": 123456}}`: regexp.MustCompile(`"Quotas(\.eu)?" is a number that does not fit the type int8`),
		`{"Regions": "123456"}`:      regexp.MustCompile(`"Regions" is a string that does not fit the type \[\]string`),
		`{} 123456`:                  regexp.MustCompile("text follows its JSON"),
	} {
		_, err := decode(text, limits{})
		if err == nil || !want.MatchString(err.Error()) || strings.Contains(err.Error(), "123456") {
			t.Error(text, err)
		}
	}
}
