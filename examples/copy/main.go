// A plugin in Go that takes files through raw streams.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	plugmux "plugmux.dev/go"
)

// receive writes a file: the first line is its name, the rest is its content. It answers its SHA-256.
func receive(stream *plugmux.Stream) error {
	reader := bufio.NewReaderSize(stream, 1<<20)
	path, err := reader.ReadString('\n')
	if err != nil {
		return err
	}
	file, err := os.Create(strings.TrimSuffix(path, "\n"))
	if err != nil {
		return err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, digest), reader); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stream, "%x", digest.Sum(nil))
	return err
}

func main() {
	plugmux.Main(plugmux.Config{Version: "v1.0.0"},
		plugmux.RawStream("copy", func(_ context.Context, stream *plugmux.Stream) {
			if err := receive(stream); err != nil {
				log.Print("copy: ", err)
			}
		}))
}
