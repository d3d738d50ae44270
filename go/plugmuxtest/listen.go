package plugmuxtest

import (
	"bytes"
	"io"
	"net"
	"net/http"
)

const accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"

// Hijack returns a handler for a runtime's socket, to which plugins dial. It calls serve with the link of each plugin, and
// closes the link when serve returns.
func Hijack(options Options, serve func(*Link)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // the plugin has closed the connection
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, accepted); err != nil {
			return
		}
		first, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
		link := NewLink(early{conn, io.MultiReader(bytes.NewReader(first), conn)}, options)
		defer link.Session.Close()
		serve(link)
	})
	return mux
}

// early is a connection whose first bytes the HTTP server has read already.
type early struct {
	net.Conn
	reader io.Reader
}

func (e early) Read(data []byte) (int, error) { return e.reader.Read(data) }
