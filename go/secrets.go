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
)

// Secret is one secret and what is known about it. All but ID and Value may be left out.
type Secret struct {
	ID        string
	Value     Value
	Version   string
	CreatedAt time.Time
	ExpiresAt time.Time
	Metadata  map[string]string
}

// Value is a secret's value. It cannot be printed by accident: fmt, slog and encoding/json show a mask in its place.
type Value []byte

const mask = "******"

// Format writes a mask, whatever the verb.
func (Value) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, mask) }

// MarshalText gives a mask; this is what encoders of JSON and of log records take.
func (Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// SecretsFunc gives the secrets that a pattern matches. It may give more than that: what the pattern does not match is
// left out for it, so that a small provider can give all that it has. Giving nothing is no error.
type SecretsFunc func(ctx context.Context, pattern Pattern) ([]Secret, error)

// Secrets makes the plugin a secrets provider: the runtime asks it about ids that the pattern matches, and no others.
func Secrets(pattern Pattern, get SecretsFunc) Servable {
	return func(s *site) {
		s.serve(resolverv1connect.NewResolverServiceHandler(provider{pattern, get}))
		s.announcement.Metadata = &pluginsv1.RegisterPluginRequest_SecretsProvider{
			SecretsProvider: &pluginsv1.SecretsProvider{Pattern: string(pattern)},
		}
	}
}

// provider is a SecretsFunc as the wire has it.
type provider struct {
	pattern Pattern
	get     SecretsFunc
}

func (p provider) GetSecrets(ctx context.Context, request *resolverv1.GetSecretsRequest) (*resolverv1.GetSecretsResponse, error) {
	asked := Pattern(request.GetPattern())
	if !asked.valid() {
		return nil, connect.NewError(connect.CodeInvalidArgument, errPatternForm(asked))
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
		// A time that is unset goes out as the year 1, which Go's zero time is: an absent one reads as 1970 in Go.
		CreatedAt:  timestamppb.New(s.CreatedAt),
		ResolvedAt: timestamppb.New(time.Time{}),
		ExpiresAt:  timestamppb.New(s.ExpiresAt),
		Metadata:   s.Metadata,
	}
}

// TimeOf is the time of an envelope's field, for plugins that ask their runtime for secrets. It is zero where the time
// is unset, which the wire says by the year 1 or by no timestamp at all.
func TimeOf(timestamp *timestamppb.Timestamp) time.Time {
	if timestamp == nil || timestamp.AsTime().Year() <= 1 {
		return time.Time{}
	}
	return timestamp.AsTime()
}
