package plugmux

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
)

const (
	maxQueuedRecords     = 1000
	maxRecordsPerRequest = 50
	sendTimeout          = 5 * time.Second
	resendDelay          = 500 * time.Millisecond
	flushTimeout         = time.Second
	levelCritical        = slog.LevelError + 4
)

// LogHandler is a [slog.Handler] that sends records to the runtime, which logs them with their time, level and attributes.
// [NewLogHandler] makes one; assign it to [Config.Logs]:
//
//	logs := plugmux.NewLogHandler(nil)
//	slog.SetDefault(slog.New(logs))
//	plugmux.Main(plugmux.Config{Logs: logs}, ...)
//
// Logging does not block: records wait in a queue of 1,000, and the runtime is told how many of the oldest were dropped when
// the queue was full. If the runtime has no log service, records go to standard error; so does, in any case, what concerns the
// links over a network themselves.
type LogHandler struct {
	options slog.HandlerOptions
	shape   []func(slog.Handler) slog.Handler // the calls of WithAttrs and WithGroup
	queue   *logQueue
}

// NewLogHandler returns a handler with the options of [slog.NewJSONHandler], which may be nil.
func NewLogHandler(options *slog.HandlerOptions) *LogHandler {
	handler := &LogHandler{queue: &logQueue{more: make(chan struct{}, 1)}}
	if options != nil {
		handler.options = *options
	}
	return handler
}

// linkLog logs what concerns the links over a network themselves. [Config.Logs] would keep it for a link, and there may be none.
func (p *plugin) linkLog() *slog.Logger {
	if p.config.Logs == nil {
		return slog.Default()
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// Enabled implements [slog.Handler].
func (h *LogHandler) Enabled(_ context.Context, level slog.Level) bool {
	minimum := slog.LevelInfo
	if h.options.Level != nil {
		minimum = h.options.Level.Level()
	}
	return level >= minimum
}

// WithAttrs implements [slog.Handler].
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.shaped(func(handler slog.Handler) slog.Handler { return handler.WithAttrs(attrs) })
}

// WithGroup implements [slog.Handler].
func (h *LogHandler) WithGroup(name string) slog.Handler {
	return h.shaped(func(handler slog.Handler) slog.Handler { return handler.WithGroup(name) })
}

func (h *LogHandler) shaped(step func(slog.Handler) slog.Handler) *LogHandler {
	return &LogHandler{h.options, append(slices.Clip(h.shape), step), h.queue}
}

// Handle implements [slog.Handler].
func (h *LogHandler) Handle(ctx context.Context, record slog.Record) error {
	if h.queue.isStderr() {
		return h.apply(slog.NewJSONHandler(os.Stderr, &h.options)).Handle(ctx, record)
	}
	record = withFailure(record)
	var fields bytes.Buffer
	options := h.options
	options.ReplaceAttr = h.replace
	if err := h.apply(slog.NewJSONHandler(&fields, &options)).Handle(ctx, record); err != nil {
		return err
	}
	h.queue.put(&plugmuxv1.LogRecord{
		Time:       timestamppb.New(record.Time),
		Level:      wireLevel(record.Level),
		Message:    bounded(record.Message),
		FieldsJson: boundedFields(strings.TrimSpace(fields.String())),
	})
	return nil
}

// withFailure moves the panic of a handler and its stack from the attributes of a record to its text, which is all that a host
// prints that has not set up logging.
func withFailure(record slog.Record) slog.Record {
	if record.Level < slog.LevelError {
		return record
	}
	var failed *failure
	rest := make([]slog.Attr, 0, record.NumAttrs())
	record.Attrs(func(attr slog.Attr) bool {
		if found, is := attr.Value.Any().(*failure); is {
			failed = found
		} else {
			rest = append(rest, attr)
		}
		return true
	})
	if failed == nil {
		return record
	}
	told := slog.NewRecord(record.Time, record.Level, record.Message+": "+failed.String(), record.PC)
	told.AddAttrs(rest...)
	return told
}

func (h *LogHandler) apply(handler slog.Handler) slog.Handler {
	for _, step := range h.shape {
		handler = step(handler)
	}
	return handler
}

// replace leaves out the attributes that a record on the wire has fields for.
func (h *LogHandler) replace(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && (attr.Key == slog.TimeKey || attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	if h.options.ReplaceAttr != nil {
		return h.options.ReplaceAttr(groups, attr)
	}
	return attr
}

// send sends records over the context's link. When leaving is closed, it sends the records that are queued and returns.
func (h *LogHandler) send(ctx context.Context, leaving <-chan struct{}) {
	client := plugmuxv1connect.NewLogServiceClient(Host, HostURL)
	for {
		err := h.queue.sendAll(ctx, client, sendTimeout)
		if connect.CodeOf(err) == connect.CodeUnimplemented && err != nil {
			h.queue.fallBackToStderr()
			return
		}
		again := h.queue.more
		if err != nil {
			again = nil
		}
		select {
		case <-leaving:
			_ = h.queue.sendAll(ctx, client, flushTimeout)
			return
		case <-ctx.Done():
			return
		case <-again:
		case <-after(err != nil, resendDelay):
		}
	}
}

// after is [time.After] if wanted, and otherwise a channel that never receives.
func after(wanted bool, delay time.Duration) <-chan time.Time {
	if !wanted {
		return nil
	}
	return time.After(delay)
}

// logQueue holds the records that have not been sent.
type logQueue struct {
	lock       sync.Mutex
	waiting    []*plugmuxv1.LogRecord
	dropped    uint64
	usesStderr bool
	more       chan struct{} // receives an item when a record has been added
}

func (q *logQueue) isStderr() bool {
	q.lock.Lock()
	defer q.lock.Unlock()
	return q.usesStderr
}

func (q *logQueue) put(records ...*plugmuxv1.LogRecord) {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.waiting = append(q.waiting, records...)
	q.bound()
	if q.usesStderr {
		q.print()
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *logQueue) putBack(records []*plugmuxv1.LogRecord, dropped uint64) {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.waiting = append(records, q.waiting...)
	q.dropped += dropped
	q.bound()
}

func (q *logQueue) bound() {
	if over := len(q.waiting) - maxQueuedRecords; over > 0 {
		q.waiting = slices.Delete(q.waiting, 0, over)
		q.dropped += uint64(over)
	}
}

func (q *logQueue) take() ([]*plugmuxv1.LogRecord, uint64) {
	q.lock.Lock()
	defer q.lock.Unlock()
	count := min(maxRecordsPerRequest, len(q.waiting))
	records, dropped := slices.Clone(q.waiting[:count]), q.dropped
	q.waiting, q.dropped = slices.Delete(q.waiting, 0, count), 0
	return records, dropped
}

func (q *logQueue) sendAll(ctx context.Context, client plugmuxv1connect.LogServiceClient, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		records, dropped := q.take()
		if len(records) == 0 && dropped == 0 {
			return nil
		}
		if _, err := client.Write(ctx, &plugmuxv1.WriteRequest{Records: records, Dropped: dropped}); err != nil {
			if isRefusal(err) {
				records, dropped = nil, dropped+uint64(len(records))
			}
			q.putBack(records, dropped)
			return err
		}
	}
}

// isRefusal reports whether the runtime would refuse the same records again, so that they would hold up all later ones.
func isRefusal(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeResourceExhausted:
		return true
	}
	return false
}

// fallBackToStderr writes the queued records to standard error, and all further ones.
func (q *logQueue) fallBackToStderr() {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.usesStderr = true
	q.print()
}

func (q *logQueue) print() {
	for _, record := range q.waiting {
		_, _ = os.Stderr.WriteString(record.Message + " " + record.FieldsJson + "\n")
	}
	q.waiting = nil
}

func wireLevel(level slog.Level) plugmuxv1.LogLevel {
	switch {
	case level >= levelCritical:
		return plugmuxv1.LogLevel_LOG_LEVEL_CRITICAL
	case level >= slog.LevelError:
		return plugmuxv1.LogLevel_LOG_LEVEL_ERROR
	case level >= slog.LevelWarn:
		return plugmuxv1.LogLevel_LOG_LEVEL_WARNING
	case level >= slog.LevelInfo:
		return plugmuxv1.LogLevel_LOG_LEVEL_INFO
	default:
		return plugmuxv1.LogLevel_LOG_LEVEL_DEBUG
	}
}

// bounded cuts a text to the length that the wire allows, and makes it valid UTF-8.
func bounded(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxLogTextCharacters)], "�")
}

// boundedFields is [bounded] for JSON: what is cut stands there as a text. Attributes that marshal themselves need not be UTF-8.
func boundedFields(fields string) string {
	switch {
	case fields == "{}":
		return ""
	case len(fields) <= maxLogTextCharacters:
		return strings.ToValidUTF8(fields, "�")
	}
	cut, _ := json.Marshal(map[string]string{"cut": fields[:maxLogTextCharacters/4]})
	return string(cut)
}
