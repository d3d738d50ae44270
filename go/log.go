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
	maxRecords    = 1000 // that wait to be sent
	recordsAtOnce = 50
	sendTimeout   = 5 * time.Second
	resendDelay   = 500 * time.Millisecond
	lastSend      = time.Second
	levelCritical = slog.LevelError + 4
)

// LogHandler is a [slog.Handler] that hands records to the runtime, where they come out with their time, level and
// attributes. [NewLogHandler] makes one, and [Config.Logs] takes it:
//
//	logs := plugmux.NewLogHandler(nil)
//	slog.SetDefault(slog.New(logs))
//	plugmux.Main(plugmux.Config{Logs: logs}, ...)
//
// Logging never waits: records wait in a queue until the runtime takes them, and when that is full the oldest are lost,
// which the runtime is told. Where a runtime has no log service they go to standard error.
type LogHandler struct {
	options slog.HandlerOptions
	shape   []func(slog.Handler) slog.Handler // what WithAttrs and WithGroup were called with
	queue   *logQueue
}

// NewLogHandler makes a handler; the options are those of [slog.NewJSONHandler].
func NewLogHandler(options *slog.HandlerOptions) *LogHandler {
	handler := &LogHandler{queue: &logQueue{more: make(chan struct{}, 1)}}
	if options != nil {
		handler.options = *options
	}
	return handler
}

// Enabled implements [slog.Handler].
func (h *LogHandler) Enabled(_ context.Context, level slog.Level) bool {
	least := slog.LevelInfo
	if h.options.Level != nil {
		least = h.options.Level.Level()
	}
	return level >= least
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
	if h.queue.toStderr() {
		return h.apply(slog.NewJSONHandler(os.Stderr, &h.options)).Handle(ctx, record)
	}
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

func (h *LogHandler) apply(handler slog.Handler) slog.Handler {
	for _, step := range h.shape {
		handler = step(handler)
	}
	return handler
}

// replace leaves out what a record on the wire has a place for.
func (h *LogHandler) replace(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && (attr.Key == slog.TimeKey || attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	if h.options.ReplaceAttr != nil {
		return h.options.ReplaceAttr(groups, attr)
	}
	return attr
}

// send sends over the link in the context, until leaving is closed and what waits then has been sent.
func (h *LogHandler) send(ctx context.Context, leaving <-chan struct{}) {
	client := plugmuxv1connect.NewLogServiceClient(Host, HostURL)
	for {
		err := h.queue.sendAll(ctx, client, sendTimeout)
		if connect.CodeOf(err) == connect.CodeUnimplemented && err != nil {
			h.queue.giveUp()
			return
		}
		again := h.queue.more
		if err != nil {
			again = nil
		}
		select {
		case <-leaving:
			_ = h.queue.sendAll(ctx, client, lastSend)
			return
		case <-ctx.Done():
			return
		case <-again:
		case <-after(err != nil, resendDelay):
		}
	}
}

// after is time.After where it is wanted.
func after(wanted bool, delay time.Duration) <-chan time.Time {
	if !wanted {
		return nil
	}
	return time.After(delay)
}

// logQueue holds records until they are sent.
type logQueue struct {
	lock    sync.Mutex
	waiting []*plugmuxv1.LogRecord
	dropped uint64
	gaveUp  bool
	more    chan struct{} // has an item when something waits that did not before
}

func (q *logQueue) toStderr() bool {
	q.lock.Lock()
	defer q.lock.Unlock()
	return q.gaveUp
}

func (q *logQueue) put(records ...*plugmuxv1.LogRecord) {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.waiting = append(q.waiting, records...)
	q.bound()
	if q.gaveUp {
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
	if over := len(q.waiting) - maxRecords; over > 0 {
		q.waiting = slices.Delete(q.waiting, 0, over)
		q.dropped += uint64(over)
	}
}

func (q *logQueue) take() ([]*plugmuxv1.LogRecord, uint64) {
	q.lock.Lock()
	defer q.lock.Unlock()
	count := min(recordsAtOnce, len(q.waiting))
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
			q.putBack(records, dropped)
			return err
		}
	}
}

// giveUp writes what waits to standard error, and lets all that comes go there.
func (q *logQueue) giveUp() {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.gaveUp = true
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

// bounded is a text that fits on the wire, in length and in form.
func bounded(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxLogTextCharacters)], "�")
}

func boundedFields(fields string) string {
	switch {
	case fields == "{}":
		return ""
	case len(fields) <= maxLogTextCharacters:
		return fields
	}
	cut, _ := json.Marshal(map[string]string{"cut": bounded(fields)[:maxLogTextCharacters/4]})
	return string(cut)
}
