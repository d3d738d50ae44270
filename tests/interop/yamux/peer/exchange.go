package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"sync"

	"github.com/hashicorp/yamux"
)

// An exchange: the opener sends a header and a request; the acceptor answers with the request's SHA-256, the response
// and the response's SHA-256, and closes. The mode says what happens on the way.
type mode uint8

const (
	modePlain     mode = iota // the opener closes after the response
	modeHalfClose             // the opener half-closes behind the request
	modeReset                 // the acceptor resets the stream after half of the request
	modeAbandon               // the opener resets the stream after half of the response
	modes
)

type header struct {
	mode              mode
	request, response uint32
}

const headerSize = 9

func writeHeader(w io.Writer, h header) error {
	var b [headerSize]byte
	b[0] = byte(h.mode)
	binary.BigEndian.PutUint32(b[1:], h.request)
	binary.BigEndian.PutUint32(b[5:], h.response)
	_, err := w.Write(b[:])
	return err
}

func readHeader(r io.Reader) (header, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, err
	}
	return header{mode(b[0]), binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])}, nil
}

func serve(session *yamux.Session) {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go func() {
			defer stream.Close()
			answer(stream)
		}()
	}
}

// answer serves one exchange. A reset by the opener is as good an end as any.
func answer(stream *yamux.Stream) {
	h, err := readHeader(stream)
	if err != nil {
		return
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, stream, int64(h.request)); err != nil {
		return
	}
	if h.mode == modeHalfClose {
		if n, err := stream.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return
		}
	}
	if _, err := stream.Write(sum.Sum(nil)); err != nil {
		return
	}
	if digest, err := writePayload(stream, h.request^h.response, h.response); err == nil {
		_, _ = stream.Write(digest)
	}
}

type tally struct {
	OK     int      `json:"ok"`
	Reset  int      `json:"reset"`
	Errors []string `json:"errors"`
}

func callMany(session *yamux.Session, count int, total, largest, seed int64) tally {
	var result tally
	var mu sync.Mutex
	var wait sync.WaitGroup
	random := rand.New(rand.NewSource(seed))
	for range count {
		// This side cannot reset a stream, so that it never chooses modeAbandon.
		h := header{mode(random.Intn(int(modeAbandon))), size(random, total/int64(count), largest), size(random, total/int64(count), largest)}
		wait.Add(1)
		go func() {
			defer wait.Done()
			err := call(session, h)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				result.OK++
			case h.mode == modeReset && errors.Is(err, yamux.ErrConnectionReset):
				result.Reset++
			default:
				result.Errors = append(result.Errors, fmt.Sprintf("mode %d, %d and %d bytes: %v", h.mode, h.request, h.response, err))
			}
		}()
	}
	wait.Wait()
	return result
}

// bulk sends so many bytes on each of several streams at once.
func bulk(session *yamux.Session, count int, size uint32) tally {
	results := make(chan error)
	for range count {
		go func() { results <- call(session, header{modePlain, size, 0}) }()
	}
	var result tally
	for range count {
		if err := <-results; err != nil {
			result.Errors = append(result.Errors, err.Error())
		} else {
			result.OK++
		}
	}
	return result
}

// unread closes a stream on which a response is coming.
func unread(session *yamux.Session, size uint32) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	if err := writeHeader(stream, header{modePlain, 0, size}); err != nil {
		return err
	}
	if _, err := io.ReadFull(stream, make([]byte, sha256.Size)); err != nil {
		return err
	}
	return stream.Close()
}

// size draws a size whose mean is about half the average, sometimes zero and sometimes much larger.
func size(random *rand.Rand, average, largest int64) uint32 {
	switch random.Intn(8) {
	case 0:
		return 0
	case 1:
		return uint32(random.Int63n(min(largest, 3*average+1) + 1))
	default:
		return uint32(random.Int63n(min(largest, average/2+1) + 1))
	}
}

func call(session *yamux.Session, h header) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := writeHeader(stream, h); err != nil {
		return err
	}
	digest, err := writePayload(stream, h.request, h.request)
	if err != nil {
		return err
	}
	if h.mode == modeHalfClose {
		if err := stream.Close(); err != nil {
			return err
		}
	}
	told := make([]byte, sha256.Size)
	if _, err := io.ReadFull(stream, told); err != nil {
		return err
	}
	if !bytes.Equal(told, digest) {
		return errors.New("the peer got another request")
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, stream, int64(h.response)); err != nil {
		return err
	}
	if _, err := io.ReadFull(stream, told); err != nil {
		return err
	}
	if !bytes.Equal(told, sum.Sum(nil)) {
		return errors.New("the response is damaged")
	}
	if n, err := stream.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("no end behind the response: %d bytes, %w", n, err)
	}
	return nil
}

// writePayload writes so many bytes, and gives their SHA-256.
func writePayload(w io.Writer, seed, size uint32) ([]byte, error) {
	sum := sha256.New()
	_, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(rand.New(rand.NewSource(int64(seed))), int64(size)))
	return sum.Sum(nil), err
}
