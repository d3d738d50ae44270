// Package contract holds what every runtime and every plugin agree on: what a registration, a name, a version, an id and a
// pattern may be.
package contract

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"connectrpc.com/connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
)

// The limits of a registration, as proto/constants.json has them.
const (
	MaxNameCharacters        = 256
	MaxVersionCharacters     = 128
	MaxPatternCharacters     = 4096
	MaxServices              = 1024
	MaxProtocolVersions      = 256
	MaxSchemaCharacters      = 262_144
	MaxMessageTypeCharacters = 512
	MaxListCharacters        = 65_536
)

const (
	versionNumber     = `(?:0|[1-9][0-9]*)`
	versionIdentifier = `(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)`
	versionPrerelease = `(?:-` + versionIdentifier + `(?:\.` + versionIdentifier + `)*)?`
	versionBuild      = `(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?`
)

var (
	// versionForm is what golang.org/x/mod/semver calls valid.
	versionForm = regexp.MustCompile(`^v` + versionNumber + `(?:\.` + versionNumber + `(?:\.` + versionNumber +
		versionPrerelease + versionBuild + `)?)?$`)
	serviceForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$`)
)

// CheckRegistration fails if every runtime would refuse the registration. The error has the code that a runtime answers with.
func CheckRegistration(request *pluginsv1.RegisterPluginRequest) error {
	if !ValidName(request.GetName()) {
		return connect.NewError(connect.CodeInternal, fmt.Errorf(
			"the name %.80q of the plugin is not valid: it must have 1 to %d characters and no control characters",
			request.GetName(), MaxNameCharacters))
	}
	fault := func(code connect.Code, format string, values ...any) error {
		return connect.NewError(code, fmt.Errorf("plugin %.80q: %w", request.GetName(), fmt.Errorf(format, values...)))
	}
	if !ValidVersion(request.GetVersion()) {
		return fault(connect.CodeInternal, `the version %.80q is not valid: it must be semantic with a leading "v", `+
			`such as "v1.2.3", and have at most %d characters`, request.GetVersion(), MaxVersionCharacters)
	}
	if provider := request.GetSecretsProvider(); provider != nil {
		if pattern := provider.GetPattern(); !ValidPattern(pattern) {
			return fault(connect.CodeInvalidArgument, "%w", PatternError(pattern))
		}
	}
	services := slices.Concat(request.GetServices(), request.GetInstances().GetServices())
	if len(services) > MaxServices {
		return fault(connect.CodeInternal, "it names %d services, over the limit of %d", len(services), MaxServices)
	}
	for _, service := range services {
		if !serviceForm.MatchString(service) {
			return fault(connect.CodeInternal, "the service %.80q is not the full name of a proto service", service)
		}
	}
	if slices.Contains(request.GetProtocolVersions(), 0) {
		return fault(connect.CodeInternal, "%w", errors.New("it names protocol version 0; the lowest is 1"))
	}
	for _, part := range sizesOf(request, services) {
		if part.size > part.limit {
			return fault(connect.CodeInternal, "it registers with %d %s, over the limit of %d", part.size, part.what, part.limit)
		}
	}
	return nil
}

// measured is the size of one part of a registration and its limit.
type measured struct {
	what        string
	size, limit int
}

func sizesOf(request *pluginsv1.RegisterPluginRequest, services []string) []measured {
	names := slices.Clone(request.GetCapabilities())
	for name, value := range request.GetLabels() {
		names = append(names, name, value)
	}
	sizes := []measured{
		{"protocol versions", len(request.GetProtocolVersions()), MaxProtocolVersions},
		{"characters of names of services", characters(services), MaxListCharacters},
		{"characters of capabilities and labels", characters(names), MaxListCharacters},
	}
	for _, schema := range []*pluginsv1.ConfigurationSchema{request.GetConfiguration(), request.GetInstances().GetConfiguration()} {
		sizes = append(sizes,
			measured{"characters of a JSON schema", utf8.RuneCountInString(schema.GetJsonSchema()), MaxSchemaCharacters},
			measured{"characters of a message type", utf8.RuneCountInString(schema.GetMessageType()), MaxMessageTypeCharacters})
	}
	return sizes
}

// characters counts the characters of texts, and one more for each text.
func characters(texts []string) int {
	count := len(texts)
	for _, text := range texts {
		count += utf8.RuneCountInString(text)
	}
	return count
}

// ValidName reports whether a plugin may register under a name: any text without control characters.
func ValidName(name string) bool {
	for _, character := range name {
		if character < 0x20 || 0x7f <= character && character <= 0x9f {
			return false
		}
	}
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= MaxNameCharacters
}

// ValidVersion reports whether a plugin may register with a version.
func ValidVersion(version string) bool {
	return len(version) <= MaxVersionCharacters && versionForm.MatchString(version)
}
