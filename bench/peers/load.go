package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

const (
	loadWork = "socket-json-64"
	clients  = 64
	echoPath = "/bench.v1.BenchService/Echo"
)

// load measures an HTTP/1.1 server of a unix socket: clients that have a connection each and one JSON call in flight. It
// writes the bytes of requests itself, so that little of the machine is left to the clients.
func load(b *bench, socket string) error {
	if !b.wants(loadWork) {
		return nil
	}
	idle := make(chan *jsonClient, clients)
	defer func() {
		close(idle)
		for client := range idle {
			_ = client.conn.Close() // it has served its time
		}
	}()
	for range clients {
		client, err := dialJSON(socket)
		if err != nil {
			return err
		}
		idle <- client
	}
	return b.calls(loadWork, clients, 100, func(payload []byte) error {
		client := <-idle
		err := client.echo(payload)
		idle <- client
		return err
	})
}

type jsonClient struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dialJSON(socket string) (*jsonClient, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return &jsonClient{conn, bufio.NewReader(conn)}, nil
}

func (c *jsonClient) echo(payload []byte) error {
	text := base64.StdEncoding.EncodeToString(payload)
	body := `{"payload":"` + text + `"}`
	_, err := fmt.Fprintf(c.conn, "POST %s HTTP/1.1\r\nHost: unix\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		echoPath, len(body), body)
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(text)) {
		return fmt.Errorf("%s in place of what was sent: %s", response.Status, answer)
	}
	return nil
}
