package plugmux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	resolverv1 "plugmux.dev/gen/go/resolver/v1"
	"plugmux.dev/gen/go/resolver/v1/resolverv1connect"
	"plugmux.dev/go/plugmuxtest"
)

func TestPatterns(t *testing.T) {
	for pattern, ids := range map[string]struct{ matched, others string }{
		"a/b":       {"a/b", "a a/b/c b a/B"},
		"*":         {"a", "a/b"},
		"a/*":       {"a/b", "a a/b/c b/b"},
		"**":        {"a a/b a/b/c", ""},
		"a/**":      {"a a/b a/b/c", "b ab b/a"},
		"**/z":      {"z a/z a/b/z z/z", "a z/a"},
		"a/**/z":    {"a/z a/b/z a/b/c/z a/z/z", "a z a/b a/z/b"},
		"**/a/**/b": {"a/b x/a/y/b a/a/b/b", "b/a a"},
		"**/*":      {"a a/b", ""},
	} {
		for _, id := range strings.Fields(ids.matched) {
			if !Pattern(pattern).Match(id) {
				t.Errorf("%s does not match %s", pattern, id)
			}
		}
		for _, id := range strings.Fields(ids.others) {
			if Pattern(pattern).Match(id) {
				t.Errorf("%s matches %s", pattern, id)
			}
		}
	}
}

func TestAHostilePatternTakesNoTime(t *testing.T) {
	pattern, id := Pattern(strings.Repeat("**/a/", 500)+"b"), strings.Repeat("a/", 500)+"c"
	if pattern.Match(id) {
		t.Error("it matches")
	}
}

func TestAValueIsNeverPrinted(t *testing.T) {
	secret := Secret{ID: "a", Value: []byte("hunter2")}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "secret", secret, "value", secret.Value)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("JSON", "secret", secret, "value", secret.Value)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb+verb, secret, &secret, secret.Value)
	}
	if err := json.NewEncoder(&log).Encode(secret); err != nil {
		t.Error(err)
	}
	for _, shown := range []string{"hunter2", "68756e74657232", "aHVudGVyMg", "104 117", "0x68"} {
		if strings.Contains(log.String(), shown) {
			t.Error(log.String())
		}
	}
}

func TestAProviderAnswersForWhatItsPatternMatches(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	made := time.Unix(1, 0)
	get := func(_ context.Context, asked Pattern) ([]Secret, error) {
		if asked == "p/denied" {
			return nil, connect.NewError(connect.CodePermissionDenied, errors.New("no"))
		}
		return []Secret{{ID: "p/a", Value: []byte("1"), CreatedAt: made}, {ID: "p/b/c"}, {ID: "q/a"}}, nil
	}
	link, _ := run(t, plugmuxtest.Options{}, Config{}, Secrets("p/**", get))
	resolver := resolverv1connect.NewResolverServiceClient(link.Client(), plugmuxtest.BaseURL)
	for pattern, want := range map[string]string{
		"p/a": "p/a", "p/*": "p/a", "**": "p/a p/b/c", "p/x": "not_found", "q/a": "not_found", "p/a*": "invalid_argument",
		"": "invalid_argument", "p/denied": "permission_denied",
	} {
		response, err := resolver.GetSecrets(testContext(t), &resolverv1.GetSecretsRequest{Pattern: pattern})
		var got []string
		for _, envelope := range response.GetEnvelopes() {
			got = append(got, envelope.GetId())
		}
		if err != nil {
			got = []string{connect.CodeOf(err).String()}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v in place of %s", pattern, got, want)
		}
	}
	response, err := resolver.GetSecrets(testContext(t), &resolverv1.GetSecretsRequest{Pattern: "p/a"})
	if err != nil {
		t.Fatal(err)
	}
	envelope := response.GetEnvelopes()[0]
	if string(envelope.GetValue()) != "1" || !envelope.GetCreatedAt().AsTime().Equal(made) || !TimeOf(envelope.GetExpiresAt()).IsZero() {
		t.Error("the envelope does not hold what the secret did")
	}
}
