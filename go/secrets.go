package plugmux

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	resolverv1 "plugmux.dev/gen/go/resolver/v1"
	"plugmux.dev/gen/go/resolver/v1/resolverv1connect"
	"plugmux.dev/go/internal/contract"
)

// Secret is a secret with its metadata. Only ID and Value are required.
type Secret struct {
	// ID consists of components joined by slashes, of letters, digits and "._:-".
	ID string
	// Value is the secret itself.
	Value Value
	// Version is the provider's own name for this version of the value.
	Version string
	// CreatedAt is when the value was created; zero if that is not known.
	CreatedAt time.Time
	// ExpiresAt is when the value becomes invalid; zero if it does not expire.
	ExpiresAt time.Time
	// Metadata is passed on to clients as it is.
	Metadata map[string]string
}

// Value is the value of a secret. fmt, slog and encoding/json print a mask in its place, so that it is not logged by accident.
type Value []byte

const mask = "****"

// Format implements [fmt.Formatter]: it writes a mask for every verb.
func (Value) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, mask) }

// MarshalText implements [encoding.TextMarshaler]: it returns a mask, which encoders of JSON and log records use.
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// SecretsFunc returns the secrets that a pattern matches. Secrets that the pattern does not match are left out of the answer,
// so a small provider may return everything it has. If none is left, the caller gets not_found; an error is passed on to the
// caller.
type SecretsFunc func(ctx context.Context, pattern Pattern) ([]Secret, error)

// Secrets makes the plugin a secrets provider for the ids that the pattern matches. Returned secrets with other ids are left
// out and logged.
func Secrets(pattern Pattern, get SecretsFunc) Servable {
	return func(s *linkApp) {
		s.serve(resolverv1connect.NewResolverServiceHandler(provider{pattern, get}))
		s.announcement.Metadata = &pluginsv1.RegisterPluginRequest_SecretsProvider{
			SecretsProvider: &pluginsv1.SecretsProvider{Pattern: string(pattern)},
		}
	}
}

// provider serves a SecretsFunc as resolver.v1.ResolverService.
type provider struct {
	pattern Pattern
	get     SecretsFunc
}

func (p provider) GetSecrets(ctx context.Context, request *resolverv1.GetSecretsRequest) (*resolverv1.GetSecretsResponse, error) {
	asked := Pattern(request.GetPattern())
	if !contract.ValidPattern(string(asked)) {
		return nil, connect.NewError(connect.CodeInvalidArgument, contract.PatternError(string(asked)))
	}
	given, err := p.get(ctx, asked)
	if err != nil {
		return nil, err
	}
	response := &resolverv1.GetSecretsResponse{}
	for _, secret := range given {
		if !p.pattern.Match(secret.ID) {
			slog.Warn("a secret is left out: the provider's own pattern does not match it", "id", secret.ID, "pattern", p.pattern)
		} else if asked.Match(secret.ID) {
			response.Envelopes = append(response.Envelopes, secret.envelope())
		}
	}
	if len(response.GetEnvelopes()) == 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no secret matches %s", asked))
	}
	return response, nil
}

func (s Secret) envelope() *resolverv1.GetSecretsResponse_Envelope {
	return &resolverv1.GetSecretsResponse_Envelope{
		Id:      s.ID,
		Value:   s.Value,
		Version: s.Version,
		// Unset times are sent as year 1, Go's zero time: Docker's programs read an absent time as 1970.
		CreatedAt:  timestamppb.New(s.CreatedAt),
		ResolvedAt: timestamppb.New(time.Time{}),
		ExpiresAt:  timestamppb.New(s.ExpiresAt),
		Metadata:   s.Metadata,
	}
}

// TimeOf returns the time in a field of an Envelope, for plugins that read secrets from their runtime. It is zero if the time
// is unset: the wire has year 1 or no timestamp for that.
func TimeOf(timestamp *timestamppb.Timestamp) time.Time {
	if timestamp == nil || timestamp.AsTime().Year() <= 1 {
		return time.Time{}
	}
	return timestamp.AsTime()
}
