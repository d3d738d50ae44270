// Peer is the other end for the interop tests: hashicorp/yamux on an inherited socket, steered by lines on stdin.
//
// It accepts streams and serves the exchange described in exchange.go. Each command is answered by one line of JSON:
//
//	call N TOTAL MAX SEED  open N streams at once and run an exchange on each, TOTAL bytes in all, MAX on one
//	bulk N SIZE            open N streams at once, and send SIZE bytes on each
//	unread SIZE            open a stream, let SIZE bytes come, and close it without having read them
//	ping                   measure the round trip
//	goaway                 refuse new streams
//	accept                 begin to accept, when started with -accept=false
//	stall                  stop reading from the socket
//	streams                tell how many streams are open
//	close                  close the session
//	wait                   wait until the session has ended
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/yamux"
)

// stallable is a connection whose reads can be made to stop.
type stallable struct {
	net.Conn
	mu sync.Mutex
}

func (c *stallable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock() // held for good once stalled
	defer c.mu.Unlock()
	return n, err
}

func main() {
	fd := flag.Uint("fd", 3, "the inherited socket")
	client := flag.Bool("client", false, "be the yamux client")
	accept := flag.Bool("accept", true, "accept streams")
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	window := flag.Uint("window", 256*1024, "the receive window")
	flag.IntVar(&config.AcceptBacklog, "backlog", config.AcceptBacklog, "the accept backlog")
	flag.DurationVar(&config.KeepAliveInterval, "keepalive", config.KeepAliveInterval, "the keepalive interval")
	flag.DurationVar(&config.ConnectionWriteTimeout, "write-timeout", config.ConnectionWriteTimeout, "the write timeout")
	flag.DurationVar(&config.StreamOpenTimeout, "open-timeout", config.StreamOpenTimeout, "the open timeout")
	flag.DurationVar(&config.StreamCloseTimeout, "close-timeout", config.StreamCloseTimeout, "the close timeout")
	flag.Parse()
	config.MaxStreamWindowSize = uint32(*window)

	file := os.NewFile(uintptr(*fd), "link")
	inner, err := net.FileConn(file)
	check(err)
	check(file.Close())
	conn := &stallable{Conn: inner}
	var session *yamux.Session
	if *client {
		session, err = yamux.Client(conn, config)
	} else {
		session, err = yamux.Server(conn, config)
	}
	check(err)
	if *accept {
		go serve(session)
	}

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		check(json.NewEncoder(os.Stdout).Encode(command(session, conn, strings.Fields(lines.Text()))))
	}
}

func command(session *yamux.Session, conn *stallable, words []string) any {
	number := func(index int) (n int64) {
		_, err := fmt.Sscan(words[index], &n)
		check(err)
		return n
	}
	switch words[0] {
	case "call":
		return callMany(session, int(number(1)), number(2), number(3), number(4))
	case "bulk":
		return bulk(session, int(number(1)), uint32(number(2)))
	case "unread":
		return map[string]any{"error": text(unread(session, uint32(number(1))))}
	case "ping":
		rtt, err := session.Ping()
		return map[string]any{"rtt": rtt.Seconds(), "error": text(err)}
	case "goaway":
		return map[string]any{"error": text(session.GoAway())}
	case "accept":
		go serve(session)
		return map[string]any{}
	case "stall":
		conn.mu.Lock()
		return map[string]any{}
	case "streams":
		return map[string]any{"streams": session.NumStreams()}
	case "close":
		return map[string]any{"error": text(session.Close())}
	case "wait":
		<-session.CloseChan()
		return map[string]any{"closed": true}
	}
	return map[string]any{"error": "no such command"}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
