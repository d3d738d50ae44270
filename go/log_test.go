package plugmux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
	"plugmux.dev/go/plugmuxtest"
)

// taken is a runtime's log service.
type taken struct {
	lock    sync.Mutex
	records []*plugmuxv1.LogRecord
	dropped uint64
	came    chan struct{}
	refused string // the text of a record that is refused, with those beside it
}

func (s *taken) Write(_ context.Context, request *plugmuxv1.WriteRequest) (*plugmuxv1.WriteResponse, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, record := range request.Records {
		if record.Message == s.refused {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("not this one"))
		}
	}
	s.records = append(s.records, request.Records...)
	s.dropped += request.Dropped
	s.came <- struct{}{}
	return &plugmuxv1.WriteResponse{}, nil
}

func (s *taken) wait(t *testing.T, count int) []*plugmuxv1.LogRecord {
	for {
		select {
		case <-s.came:
		case <-testContext(t).Done():
			t.Fatal("no records")
		}
		s.lock.Lock()
		records := s.records
		s.lock.Unlock()
		if len(records) >= count {
			return records
		}
	}
}

func withLogs(t *testing.T, logs *LogHandler) (*taken, *plugmuxtest.Link) {
	service := &taken{came: make(chan struct{}, 1000)}
	mux := http.NewServeMux()
	mux.Handle(plugmuxv1connect.NewLogServiceHandler(service))
	link, _ := run(t, plugmuxtest.Options{Handler: mux}, Config{Name: "p", Logs: logs})
	return service, link
}

func TestRecordsArriveWithLevelTimeAndAttributes(t *testing.T) {
	logs := NewLogHandler(&slog.HandlerOptions{Level: slog.LevelDebug})
	logger := slog.New(logs)
	service, _ := withLogs(t, logs)
	logger.With("disk", "/").WithGroup("space").Warn("low", "free", 3, "level", "x", "none", struct{}{})
	record := service.wait(t, 1)[0]
	if record.Message != "low" || record.Level != plugmuxv1.LogLevel_LOG_LEVEL_WARNING || time.Since(record.Time.AsTime()) > time.Hour {
		t.Error(record)
	}
	if want := `{"disk":"/","space":{"free":3,"level":"x","none":{}}}`; record.FieldsJson != want {
		t.Error(record.FieldsJson)
	}
	logger.Debug("plain")
	if record := service.wait(t, 2)[1]; record.FieldsJson != "" || record.Level != plugmuxv1.LogLevel_LOG_LEVEL_DEBUG {
		t.Error(record)
	}
}

func TestThePanicOfAHandlerStandsInTheTextOfItsRecord(t *testing.T) {
	logs, before := NewLogHandler(nil), slog.Default()
	slog.SetDefault(slog.New(logs).With("disk", "/"))
	t.Cleanup(func() { slog.SetDefault(before) })
	runIsolated(func() { panic("no such luck") }).log("the handler of /a.B/C")
	record := logs.queue.waiting[0]
	if !strings.HasPrefix(record.Message, "the handler of /a.B/C has panicked: no such luck\ngoroutine ") || !strings.Contains(record.Message, "log_test.go") {
		t.Error(record.Message)
	}
	if record.FieldsJson != `{"disk":"/"}` {
		t.Error(record.FieldsJson)
	}
}

func TestRecordsBelowTheLevelAreNotMade(t *testing.T) {
	if NewLogHandler(nil).Enabled(t.Context(), slog.LevelDebug) {
		t.Error("debug is sent by default")
	}
}

func TestAFullQueueLosesTheOldestAndCountsThem(t *testing.T) {
	logs := NewLogHandler(nil)
	for n := range maxQueuedRecords + 7 {
		slog.New(logs).Info(fmt.Sprint(n))
	}
	service, _ := withLogs(t, logs)
	records := service.wait(t, maxQueuedRecords)
	if len(records) != maxQueuedRecords || records[0].Message != "7" || service.dropped != 7 {
		t.Error(len(records), records[0].Message, service.dropped)
	}
}

func TestOddRecordsAreBounded(t *testing.T) {
	logs := NewLogHandler(nil)
	slog.New(logs).Info("\xff"+strings.Repeat("x", 2*maxLogTextCharacters), "long", strings.Repeat("y", 2*maxLogTextCharacters))
	record := logs.queue.waiting[0]
	if !strings.HasPrefix(record.Message, "�xx") || len(record.Message) > maxLogTextCharacters+2 || !strings.HasPrefix(record.FieldsJson, `{"cut":`) {
		t.Error(len(record.Message), record.FieldsJson[:20])
	}
}

func TestTheLastRecordsArriveBeforeTheLinkCloses(t *testing.T) {
	logs := NewLogHandler(nil)
	service, link := withLogs(t, logs)
	fetch(t, link, "/registered") // is answered once the plugin knows that it is registered
	slog.New(logs).Info("last")
	if err := link.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if records := service.wait(t, 1); records[0].Message != "last" {
		t.Error(records)
	}
}

func TestARuntimeWithoutALogServiceLeavesThemToStandardError(t *testing.T) {
	logs := NewLogHandler(nil)
	slog.New(logs).Info("one")
	run(t, plugmuxtest.Options{}, Config{Name: "p", Logs: logs})
	for !logs.queue.isStderr() {
		if testContext(t).Err() != nil {
			t.Fatal("it still queues")
		}
		time.Sleep(time.Millisecond)
	}
	slog.New(logs).Info("two")
	if len(logs.queue.waiting) != 0 {
		t.Error(logs.queue.waiting)
	}
}

func TestRecordsThatTheRuntimeRefusesHoldNoOthersUp(t *testing.T) {
	logs := NewLogHandler(nil)
	logger := slog.New(logs)
	service, link := withLogs(t, logs)
	fetch(t, link, "/registered") // is answered once the plugin knows that it is registered
	service.lock.Lock()
	service.refused = "refused"
	service.lock.Unlock()
	logger.Info("refused")
	for logs.queue.counted() == 0 {
		pause(testContext(t), time.Millisecond)
	}
	logger.Info("good")
	if record := service.wait(t, 1)[0]; record.Message != "good" || service.dropped != 1 {
		t.Error(record, service.dropped)
	}
}

func (q *logQueue) counted() uint64 {
	q.lock.Lock()
	defer q.lock.Unlock()
	return q.dropped
}

func TestAttributesThatAreNotUTF8AreSent(t *testing.T) {
	logs := NewLogHandler(nil)
	logger := slog.New(logs)
	service, _ := withLogs(t, logs)
	for _, size := range []int{1, 2 * maxLogTextCharacters} {
		logger.Info("raw", "body", json.RawMessage(`"`+strings.Repeat("\xff", size)+`"`))
	}
	for _, record := range service.wait(t, 2) {
		if !json.Valid([]byte(record.FieldsJson)) || !utf8.ValidString(record.FieldsJson) {
			t.Errorf("%.100q", record.FieldsJson)
		}
	}
}
