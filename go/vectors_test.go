package plugmux

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	"plugmux.dev/go/internal/contract"
	"plugmux.dev/go/plugmuxtest"
)

// The vectors that the SDKs of all languages share, run against this one.

// text is a text of a vector file, which may be given as a repetition.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var spelled struct {
		Prefix, Repeat string
		Count          int
	}
	if json.Unmarshal(data, (*string)(t)) == nil {
		return nil
	}
	if err := json.Unmarshal(data, &spelled); err != nil {
		return err
	}
	*t = text(spelled.Prefix + strings.Repeat(spelled.Repeat, spelled.Count))
	return nil
}

func readVectors(t *testing.T, name string, vectors any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err == nil {
		err = json.Unmarshal(data, vectors)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spelledOut spells out the repetitions in a value of a vector file.
func spelledOut(t *testing.T, data []byte) []byte {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	spelled, err := json.Marshal(spellOut(value))
	if err != nil {
		t.Fatal(err)
	}
	return spelled
}

func spellOut(value any) any {
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			value[i] = spellOut(item)
		}
	case map[string]any:
		for name, item := range value {
			value[name] = spellOut(item)
		}
		count, _ := value["count"].(float64)
		switch repeated := value["repeat"].(type) {
		case string:
			prefix, _ := value["prefix"].(string)
			return prefix + strings.Repeat(repeated, int(count))
		case []any:
			return slices.Repeat(repeated, int(count))
		}
	}
	return value
}

// row reads one row of a table, whose cells are of several types.
func row(t *testing.T, data json.RawMessage, cells ...any) {
	t.Helper()
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil || len(raw) != len(cells) {
		t.Fatalf("%s: %v", data, err)
	}
	for i, cell := range cells {
		if err := json.Unmarshal(raw[i], cell); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	}
}

func accepts(t *testing.T, what string, texts []text, want bool, valid func(string) bool) {
	t.Helper()
	if len(texts) == 0 {
		t.Errorf("%s: no cases", what)
	}
	for _, text := range texts {
		if valid(string(text)) != want {
			t.Errorf("%s: %.60q is taken: %v", what, text, !want)
		}
	}
}

func TestVectorsOfPatterns(t *testing.T) {
	var vectors struct {
		IDs                     []text `json:"ids"`
		NotIDs                  []text `json:"not_ids"`
		Patterns                []text `json:"patterns"`
		NotPatterns             []text `json:"not_patterns"`
		Match, Includes, Filter []json.RawMessage
	}
	readVectors(t, "tests/vectors/patterns.json", &vectors)
	valid := contract.ValidPattern
	accepts(t, "ids", vectors.IDs, true, contract.ValidID)
	accepts(t, "not ids", vectors.NotIDs, false, contract.ValidID)
	accepts(t, "patterns", vectors.Patterns, true, valid)
	accepts(t, "not patterns", vectors.NotPatterns, false, valid)
	var pattern, other text
	var want bool
	for _, data := range vectors.Match {
		row(t, data, &pattern, &other, &want)
		if got := Pattern(pattern).Match(string(other)); got != want {
			t.Errorf("match %s: %v", data, got)
		}
	}
	for _, data := range vectors.Includes {
		row(t, data, &pattern, &other, &want)
		if got := Pattern(pattern).Includes(Pattern(other)); got != want {
			t.Errorf("includes %s: %v", data, got)
		}
	}
	for _, data := range vectors.Filter {
		var narrower *Pattern
		row(t, data, &pattern, &other, &narrower)
		got, ok := Pattern(pattern).Filter(Pattern(other))
		if ok != (narrower != nil) || ok && got != *narrower {
			t.Errorf("filter %s: %v, %v", data, got, ok)
		}
	}
	if len(vectors.Match) == 0 || len(vectors.Includes) == 0 || len(vectors.Filter) == 0 {
		t.Error("no cases")
	}
}

func TestVectorsOfNamesAndVersions(t *testing.T) {
	for name, valid := range map[string]func(string) bool{"names": contract.ValidName, "versions": contract.ValidVersion} {
		var vectors struct{ Valid, Invalid []text }
		readVectors(t, "tests/vectors/"+name+".json", &vectors)
		accepts(t, name, vectors.Valid, true, valid)
		accepts(t, name, vectors.Invalid, false, valid)
	}
}

func TestVectorsOfAddresses(t *testing.T) {
	var vectors struct {
		Valid, Abstract, Pipes [][2]text
		Invalid                []text
		InvalidPipes           []text `json:"invalid_pipes"`
	}
	readVectors(t, "tests/vectors/addresses.json", &vectors)
	if len(vectors.Valid) == 0 {
		t.Error("no cases")
	}
	for _, c := range vectors.Valid {
		if path, err := socketPath(string(c[0])); err != nil || path != string(c[1]) {
			t.Error(c, path, err)
		}
	}
	for _, c := range vectors.Abstract {
		path, err := socketPath(string(c[0]))
		if linux := runtime.GOOS == "linux"; (err == nil) != linux || linux && path != string(c[1]) {
			t.Error(c, path, err)
		}
	}
	if len(vectors.Pipes) == 0 {
		t.Error("no names of pipes")
	}
	for _, c := range vectors.Pipes {
		path, err := socketPath(string(c[0]))
		if windows := runtime.GOOS == "windows"; (err == nil) != windows || windows && path != string(c[1]) {
			t.Error(c, path, err)
		}
	}
	accepts(t, "addresses", append(vectors.Invalid, vectors.InvalidPipes...), false, func(address string) bool {
		_, err := socketPath(address)
		if err != nil && !errors.Is(err, ErrNoRuntime) {
			t.Error(err)
		}
		return err == nil
	})
}

func TestVectorsOfLaunchConfigurations(t *testing.T) {
	type launch struct {
		Name      string `json:"name"`
		TimeoutNS int64  `json:"timeout_ns"`
		Read      int64  `json:"read"`
		Write     int64  `json:"write"`
		Socket    string `json:"socket"`
		Terminal  bool   `json:"terminal"`
		Detached  bool   `json:"detached"`
		Address   string `json:"address"`
		Token     string `json:"token"`
		CA        string `json:"ca"`
	}
	var vectors struct {
		Valid []struct {
			JSON   string `json:"json"`
			Launch launch `json:"launch"`
		} `json:"valid"`
		Invalid []text `json:"invalid"`
	}
	readVectors(t, "tests/vectors/launch.json", &vectors)
	if len(vectors.Valid) == 0 {
		t.Error("no cases")
	}
	for _, c := range vectors.Valid {
		config, err := parseLaunchConfig(c.JSON)
		if err != nil {
			t.Errorf("%s: %v", c.JSON, err)
			continue
		}
		got := launch{
			Name: config.Name, TimeoutNS: config.Timeout.Nanoseconds(), Read: -1, Write: -1,
			Terminal: bool(config.Terminal), Detached: bool(config.Detached),
		}
		if config.Address != "" { // it stands before all other places
			got.Address, got.Token, got.CA = config.Address, config.Token, config.CA
		} else if got.Socket = config.Socket; got.Socket == "" {
			ends := config.descriptors()
			got.Read, got.Write = int64(ends[0]), int64(ends[len(ends)-1])
		}
		if got != c.Launch {
			t.Errorf("%s: %+v", c.JSON, got)
		}
	}
	accepts(t, "launch configurations", vectors.Invalid, false, func(text string) bool {
		_, err := parseLaunchConfig(text)
		return err == nil
	})
}

func TestVectorsOfRegistrations(t *testing.T) {
	var vectors struct {
		Accepted []json.RawMessage
		Refused  [][2]json.RawMessage
	}
	readVectors(t, "tests/vectors/registration.json", &vectors)
	check := func(data json.RawMessage) error {
		request := &pluginsv1.RegisterPluginRequest{}
		if err := protojson.Unmarshal(spelledOut(t, data), request); err != nil {
			t.Fatal(err)
		}
		return contract.CheckRegistration(request)
	}
	if len(vectors.Accepted) == 0 || len(vectors.Refused) == 0 {
		t.Error("no cases")
	}
	for _, data := range vectors.Accepted {
		if err := check(data); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
	for _, c := range vectors.Refused {
		if err, want := check(c[0]), string(c[1]); err == nil || fmt.Sprintf("%q", connect.CodeOf(err).String()) != want {
			t.Errorf("%.200s: %v in place of %s", c[0], err, want)
		}
	}
}

func TestVectorsOfTimes(t *testing.T) {
	var vectors struct {
		Unset        []*time.Time      `json:"unset"`
		Set          []json.RawMessage `json:"set"`
		SentForUnset time.Time         `json:"sent_for_unset"`
	}
	readVectors(t, "tests/vectors/times.json", &vectors)
	for _, unset := range vectors.Unset {
		var timestamp *timestamppb.Timestamp
		if unset != nil {
			timestamp = timestamppb.New(*unset)
		}
		if got := TimeOf(timestamp); !got.IsZero() {
			t.Error(unset, got)
		}
	}
	for _, data := range vectors.Set {
		var set time.Time
		var seconds int64
		row(t, data, &set, &seconds)
		if got := TimeOf(timestamppb.New(set)); !got.Equal(set) || got.Unix() != seconds {
			t.Errorf("%s: %v", data, got)
		}
	}
	envelope := Secret{ID: "a"}.envelope()
	for _, sent := range []*timestamppb.Timestamp{envelope.GetCreatedAt(), envelope.GetResolvedAt(), envelope.GetExpiresAt()} {
		if !sent.IsValid() || !sent.AsTime().Equal(vectors.SentForUnset) || sent.AsTime().Year() != 1 {
			t.Error(sent)
		}
	}
}

func TestVectorsOfEnvelopes(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Name, Encoding, Body, Code string
			Messages                   int
		}
	}
	readVectors(t, "tests/vectors/envelopes.json", &vectors)
	if len(vectors.Cases) == 0 {
		t.Error("no cases")
	}
	link, _ := run(t, plugmuxtest.Options{}, Config{}, kv{}.servable())
	registered(t, link)
	for _, c := range vectors.Cases {
		t.Run(c.Name, func(t *testing.T) {
			body, err := hex.DecodeString(c.Body)
			if err != nil {
				t.Fatal(err)
			}
			messages, code := exchangeEnvelopes(t, link, c.Encoding, body)
			if messages != c.Messages || code != c.Code {
				t.Errorf("%d messages and %q in place of %d and %q", messages, code, c.Messages, c.Code)
			}
		})
	}
}

// exchangeEnvelopes sends the body of a stream to the reflection of a plugin. It returns how many messages come back, and the
// code of the error that ends the stream, if one does.
func exchangeEnvelopes(t *testing.T, link *plugmuxtest.Link, encoding string, body []byte) (messages int, code string) {
	t.Helper()
	path := plugmuxtest.BaseURL + "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	request, err := http.NewRequestWithContext(testContext(t), http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/connect+proto")
	if encoding != "" {
		request.Header.Set("Connect-Content-Encoding", encoding)
	}
	response, err := link.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var end struct{ Error struct{ Code string } }
	for prefix := make([]byte, prefixBytes); ; messages++ {
		if _, err := io.ReadFull(response.Body, prefix); err != nil {
			t.Fatal(response.Status, err)
		}
		data := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
		if _, err := io.ReadFull(response.Body, data); err != nil {
			t.Fatal(err)
		}
		if prefix[0]&envelopeCompressed != 0 {
			if data, err = (messageLimit{bytes: maxMessageBytes}).decompress(data); err != nil {
				t.Fatal(err)
			}
		}
		if prefix[0]&2 != 0 {
			if err := json.Unmarshal(data, &end); err != nil {
				t.Fatal(err)
			}
			return messages, end.Error.Code
		}
	}
}

func TestTheConstantsAreThoseOfAllLanguages(t *testing.T) {
	var shared map[string]any
	readVectors(t, "proto/constants.json", &shared)
	own := map[string]map[string]float64{
		"": {
			"max_message_bytes":            maxMessageBytes,
			"max_name_characters":          contract.MaxNameCharacters,
			"max_version_characters":       contract.MaxVersionCharacters,
			"max_pattern_characters":       contract.MaxPatternCharacters,
			"max_services":                 contract.MaxServices,
			"max_protocol_versions":        contract.MaxProtocolVersions,
			"max_json_schema_characters":   contract.MaxSchemaCharacters,
			"max_message_type_characters":  contract.MaxMessageTypeCharacters,
			"max_list_characters":          contract.MaxListCharacters,
			"max_instances":                maxInstances,
			"max_launch_config_bytes":      maxLaunchConfigBytes,
			"max_log_text_characters":      maxLogTextCharacters,
			"registration_timeout_seconds": registrationTimeout.Seconds(),
			"dial_timeout_seconds":         dialTimeout.Seconds(),
			"first_redial_seconds":         firstRedial.Seconds(),
			"max_redial_seconds":           maxRedial.Seconds(),
			"max_detached_redial_seconds":  maxDetachedRedial.Seconds(),
			"plugin_drain_timeout_seconds": drainTimeout.Seconds(),
			"link_close_timeout_seconds":   closeTimeout.Seconds(),
		},
		"log": {
			"max_queued_records":        maxQueuedRecords,
			"max_records_per_request":   maxRecordsPerRequest,
			"send_timeout_seconds":      sendTimeout.Seconds(),
			"resend_delay_seconds":      resendDelay.Seconds(),
			"last_send_timeout_seconds": flushTimeout.Seconds(),
		},
		"yamux": {
			"accept_backlog":                  acceptBacklog,
			"max_streams":                     maxStreams,
			"stream_close_timeout_seconds":    streamCloseTimeout.Seconds(),
			"stream_window_bytes":             streamWindowBytes,
			"max_stream_window_bytes":         maxStreamWindowBytes,
			"max_session_window_growth_bytes": maxWindowGrowthBytes,
			"max_link_memory_bytes":           maxLinkMemory,
			"max_unregistered_memory_bytes":   maxUnregisteredMemory,
			"max_unregistered_streams":        maxUnregisteredStreams,
			"max_resets_per_second":           maxResets,
			"max_idle_frames_per_second":      maxIdleFrames,
			"flood_burst_seconds":             floodBurst.Seconds(),
			"flood_young_stream_seconds":      youngStream.Seconds(),
			"flood_late_frames_per_reset":     lateFrames,
		},
	}
	for part, values := range own {
		table := shared
		if part != "" {
			table, _ = shared[part].(map[string]any)
		}
		for name, value := range values {
			if table[name] != value {
				t.Errorf("%s %s: %v, not %v", part, name, value, table[name])
			}
		}
	}
}
