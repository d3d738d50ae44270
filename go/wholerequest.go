package plugmux

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// wholeRequest is a unary call whose request has arrived as a whole and is of the plainest form. Every other request is left
// to net/http, which also tells the caller what is wrong with it.
type wholeRequest struct {
	path   string
	host   string
	header http.Header // without Host, as in an [http.Request]
	body   []byte
	close  bool // the caller wants the connection to end with the response
}

var (
	headStart = []byte("POST /")
	headEnd   = []byte("\r\n\r\n")

	// unusualFields change how the rest of a request is read, or ask for something besides the response.
	unusualFields = map[string]bool{"Expect": true, "Pragma": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true}
)

// parseWholeRequest returns the request that data is. It reports false if data is not one whole request of the plainest form.
func parseWholeRequest(data []byte) (request wholeRequest, ok bool) {
	end := bytes.Index(data, headEnd)
	if end < 0 || !bytes.HasPrefix(data, headStart) {
		return request, false
	}
	line, rest, _ := strings.Cut(string(data[:end]), "\r\n")
	request.path, ok = strings.CutSuffix(line[len(headStart)-1:], " HTTP/1.1")
	if !ok || !isPlainPath(request.path) {
		return request, false
	}
	fields := strings.Count(rest, "\r\n") + 1
	request.header = make(http.Header, fields)
	for values := make([]string, 0, fields); rest != ""; {
		var field string
		field, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := parseField(field)
		if !ok || request.header[name] != nil || unusualFields[name] {
			return request, false
		}
		values = append(values, value)
		request.header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	request.host = request.header.Get("Host")
	delete(request.header, "Host")
	request.body = data[end+len(headEnd):]
	return request, request.isPlain()
}

// parseField parses a line such as "content-type: application/proto".
func parseField(line string) (name, value string, ok bool) {
	name, value, _ = strings.Cut(line, ":")
	value = strings.Trim(value, " \t")
	if name == "" || value == "" {
		return "", "", false
	}
	for i := range len(name) {
		if !isLetterOrDigit(name[i]) && name[i] != '-' {
			return "", "", false
		}
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return "", "", false
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, true
}

// isPlain checks the fields by which net/http reads a request, and that it is a unary call.
func (r *wholeRequest) isPlain() bool {
	switch r.header.Get("Content-Type") {
	case "application/proto", "application/json":
	default:
		return false
	}
	switch strings.ToLower(r.header.Get("Connection")) {
	case "", "keep-alive":
	case "close":
		r.close = true
	default:
		return false
	}
	length := r.header.Get("Content-Length")
	return isPlainHost(r.host) && length == strconv.Itoa(len(r.body))
}

func isPlainPath(path string) bool {
	for i := range len(path) {
		if c := path[i]; !isLetterOrDigit(c) && c != '/' && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return !strings.Contains(path, "//")
}

func isPlainHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; !isLetterOrDigit(c) && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return host != ""
}

func isLetterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// toHTTP returns the request as net/http gives it to handlers.
func (r *wholeRequest) toHTTP(ctx context.Context, body *wholeBody, remoteAddr string) *http.Request {
	request := http.Request{
		Method:        http.MethodPost,
		URL:           &url.URL{Path: r.path},
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.header,
		Body:          http.NoBody,
		ContentLength: int64(len(r.body)),
		Close:         r.close,
		Host:          r.host,
		RemoteAddr:    remoteAddr,
		RequestURI:    r.path,
	}
	if len(r.body) > 0 {
		request.Body = body
	}
	return request.WithContext(ctx)
}

// wholeBody is the body of a request that has arrived as a whole.
type wholeBody struct {
	lock   sync.Mutex
	rest   []byte
	taken  int           // bytes that have been read
	onEnd  func()        // called when all has been read
	other  io.ReadCloser // what is read in its place, after net/http has taken the call over
	closed bool
}

// Read implements [io.Reader]. As with net/http, the last bytes come with [io.EOF].
func (b *wholeBody) Read(data []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.other != nil {
		return b.other.Read(data)
	}
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(data) == 0 && len(b.rest) > 0 {
		return 0, nil
	}
	n := copy(data, b.rest)
	b.rest = b.rest[n:]
	b.taken += n
	if len(b.rest) > 0 {
		return n, nil
	}
	b.end()
	return n, io.EOF
}

// Close implements [io.Closer].
func (b *wholeBody) Close() error {
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.other != nil {
		return b.other.Close()
	}
	b.taken += len(b.rest)
	b.rest, b.closed = nil, true
	b.end()
	return nil
}

// handOver has another body, of which nothing has been read, be read in place of this one.
func (b *wholeBody) handOver(other io.ReadCloser) {
	b.lock.Lock()
	defer b.lock.Unlock()
	_, _ = io.CopyN(io.Discard, other, int64(b.taken)) // the same bytes, which are in memory
	if b.closed {
		_ = other.Close()
	}
	b.other = other
}

func (b *wholeBody) end() {
	if b.onEnd != nil {
		b.onEnd()
		b.onEnd = nil
	}
}
