package plugmux

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
)

const (
	prefixBytes        = 5 // of an envelope: flags and length
	envelopeCompressed = 1
	compression        = "gzip"

	maxTimeoutMilliseconds = 9_999_999_999 // the ten digits that the Connect protocol allows
)

// limitMessages limits the size of the messages that a service receives, before and after decompression. connect-go has no
// limit unless each handler is made with one.
func limitMessages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := messageLimit{bytes: maxMessageBytes}
		if link, err := linkOf(r.Context()); err == nil {
			limit = messageLimit{link.limits.MaxMessageBytes, link.memory}
		}
		query, err := limit.query(r)
		if err != nil {
			_ = errorWriter.Write(w, r, err)
			return
		}
		r.URL.RawQuery = query
		body := limit.body(r.Header, r.Body, r.ContentLength)
		body.request = true
		body.expire(r)
		defer body.release()
		r.Body, r.ContentLength = body, -1
		next.ServeHTTP(w, r)
	})
}

// messageLimit is the size that a message may have, and the memory of the link that incomplete messages are counted in.
type messageLimit struct {
	bytes  int
	memory *linkMemory
}

func (l messageLimit) tooLarge() error {
	return connect.NewError(connect.CodeResourceExhausted,
		fmt.Errorf("the message has more than %d bytes, the limit that Config.Limits.MaxMessageBytes sets", l.bytes))
}

// body limits the messages of a request or response. It decompresses unary messages, and removes Content-Encoding then.
func (l messageLimit) body(header http.Header, body io.ReadCloser, length int64) *messageBody {
	b := &messageBody{ReadCloser: body, limit: l}
	switch contentType := header.Get("Content-Type"); {
	case strings.HasPrefix(contentType, connectStreams):
		b.read = (&envelopes{b, header.Get("Connect-Content-Encoding") == compression, nil, 0}).Read
	case strings.HasPrefix(contentType, "application/grpc"):
		b.read = (&envelopes{b, header.Get("Grpc-Encoding") == compression, nil, 0}).Read
	case header.Get("Content-Encoding") == compression:
		header.Del("Content-Encoding")
		b.read = (&compressedMessage{body: b}).Read
	default:
		b.read = (&message{from: b.take, limit: l, known: length}).Read
	}
	return b
}

// query limits the message in the query of a GET.
func (l messageLimit) query(r *http.Request) (string, error) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.RawQuery, "compression=") {
		return r.URL.RawQuery, nil
	}
	query := r.URL.Query()
	if query.Get("compression") != compression {
		return r.URL.RawQuery, nil
	}
	compressed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(query.Get("message"), "="))
	if err == nil {
		compressed, err = l.decompress(compressed)
	}
	if refusal := (*connect.Error)(nil); err != nil && !errors.As(err, &refusal) {
		return "", connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the message cannot be read: %w", err))
	} else if err != nil {
		return "", err
	}
	query.Del("compression")
	query["base64"], query["message"] = []string{"1"}, []string{base64.RawURLEncoding.EncodeToString(compressed)}
	return url.Values(query).Encode(), nil
}

// decompress decompresses gzip; no data is an empty message.
func (l messageLimit) decompress(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the message is not in gzip format: %w", err))
	}
	content, err := io.ReadAll(io.LimitReader(reader, int64(l.bytes)+1))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the message is not in gzip format: %w", err))
	}
	if len(content) > l.bytes {
		return nil, l.tooLarge()
	}
	return content, nil
}

// messageBody is a body whose messages are limited in size.
type messageBody struct {
	io.ReadCloser
	limit messageLimit
	read  func([]byte) (int, error)
	held  atomic.Int64 // bytes that have been read of the incomplete message

	request bool        // whether it is the body of a request
	stream  *linkStream // its reads time out at the deadline of the call; nil if the call has none
}

var errBodyLate = connect.NewError(connect.CodeDeadlineExceeded,
	errors.New("the request has not arrived as a whole before the deadline of the call"))

// timeoutOf returns the time limit of a call by the header of its request, if it has one.
func timeoutOf(header http.Header) (limit time.Duration, given bool) {
	text := header.Get("Connect-Timeout-Ms")
	if text == "" {
		return 0, false
	}
	milliseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || milliseconds < 0 || milliseconds > maxTimeoutMilliseconds {
		return 0, false
	}
	return time.Duration(milliseconds) * time.Millisecond, true
}

// expire lets reads fail at the deadline of a unary call: net/http and connect-go wait for its body as long as the link lasts.
func (b *messageBody) expire(r *http.Request) {
	limit, given := timeoutOf(r.Header)
	_, whole := r.Body.(*wholeBody)
	if !given || whole || r.ContentLength == 0 || strings.HasPrefix(r.Header.Get("Content-Type"), connectStreams) {
		return
	}
	if stream, ok := r.Context().Value(streamKey{}).(*linkStream); ok {
		b.stream = stream
		_ = stream.SetReadDeadline(time.Now().Add(limit)) // never fails
	}
}

func (b *messageBody) Read(data []byte) (int, error) { return b.read(data) }

// take reads a part of a message. It waits while incomplete messages use up the memory of the link.
func (b *messageBody) take(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	if b.stream != nil && err != nil {
		_ = b.stream.SetReadDeadline(time.Time{}) // never fails
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return n, errBodyLate
		}
	}
	if b.limit.memory != nil && n > 0 {
		if refusal := b.limit.memory.reserve(b, n, b.held.Add(int64(n))); refusal != nil {
			return 0, refusal
		}
	}
	if err == io.EOF {
		b.release()
	}
	return n, err
}

// release gives back the memory of a message that is complete, or that is not read any further.
func (b *messageBody) release() {
	if held := b.held.Swap(0); held > 0 {
		b.limit.memory.release(b, held)
	}
}

// Close implements [io.Closer].
func (b *messageBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

// message is a body that consists of one message.
type message struct {
	from  func([]byte) (int, error)
	limit messageLimit
	known int64 // the length that the header states; -1 if it states none
	total int
}

func (m *message) Read(data []byte) (int, error) {
	if m.known > int64(m.limit.bytes) {
		return 0, m.limit.tooLarge()
	}
	n, err := m.from(data)
	m.total += n
	if m.total > m.limit.bytes {
		return 0, m.limit.tooLarge()
	}
	return n, err
}

// compressedMessage is a body that consists of one compressed message.
type compressedMessage struct {
	body    *messageBody
	content io.Reader
}

func (c *compressedMessage) Read(data []byte) (int, error) {
	if c.content == nil {
		compressed, err := io.ReadAll(readerFunc((&message{from: c.body.take, limit: c.body.limit}).Read))
		if err == nil {
			compressed, err = c.body.limit.decompress(compressed)
		}
		if err != nil {
			return 0, err
		}
		c.content = bytes.NewReader(compressed)
	}
	return c.content.Read(data)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(data []byte) (int, error) { return f(data) }

// envelopes is a body of enveloped messages: each follows a prefix of flags and length.
type envelopes struct {
	body       *messageBody
	compressed bool
	ready      []byte // bytes to return next: a prefix, and the message if it was compressed
	rest       int    // bytes left of the present message
}

func (e *envelopes) Read(data []byte) (int, error) {
	if len(e.ready) == 0 && e.rest == 0 {
		e.body.release()
		if err := e.next(); err != nil {
			return 0, err
		}
	}
	if len(e.ready) > 0 {
		n := copy(data, e.ready)
		e.ready = e.ready[n:]
		return n, nil
	}
	n, err := e.body.take(data[:min(len(data), e.rest)])
	e.rest -= n
	if err == io.EOF && e.rest > 0 {
		err = e.cut()
	}
	return n, err
}

// cut is the error of a stream that ends within a message. In a request that is a mistake of the caller, for which connect-go
// has the code internal.
func (e *envelopes) cut() error {
	if !e.body.request {
		return io.ErrUnexpectedEOF
	}
	return connect.NewError(connect.CodeInvalidArgument, errors.New("the stream of requests ends within a message"))
}

func (e *envelopes) next() error {
	prefix := make([]byte, prefixBytes)
	if _, err := io.ReadFull(e.body.ReadCloser, prefix); err == io.ErrUnexpectedEOF {
		return e.cut()
	} else if err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	if uint64(length) > uint64(e.body.limit.bytes) {
		return e.body.limit.tooLarge()
	}
	e.ready, e.rest = prefix, int(length)
	if prefix[0]&envelopeCompressed == 0 || !e.compressed {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(readerFunc(e.body.take), int64(length)))
	if err == nil && len(content) < int(length) {
		err = e.cut()
	}
	if err == nil {
		content, err = e.body.limit.decompress(content)
	}
	if err != nil {
		return err
	}
	prefix[0] &^= envelopeCompressed
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(content)))
	e.ready, e.rest = append(prefix, content...), 0
	return nil
}
