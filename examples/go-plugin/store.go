package main

import (
	"context"
	"sync"
)

// store keeps every value that a key has had, so that whoever watches the key misses none.
type store struct {
	lock   sync.Mutex
	values map[string][][]byte
	grown  chan struct{} // closed by the next put
}

func newStore() *store { return &store{values: map[string][][]byte{}, grown: make(chan struct{})} }

// look gives the values of a key so far, and a channel that the next put closes.
func (s *store) look(key string) ([][]byte, <-chan struct{}) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.values[key], s.grown
}

func (s *store) put(key string, value []byte) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.values[key] = append(s.values[key], value)
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *store) watch(ctx context.Context, key string, send func([]byte) error) error {
	values, grown := s.look(key)
	for next := max(len(values)-1, 0); ctx.Err() == nil; values, grown = s.look(key) {
		for ; next < len(values); next++ {
			if err := send(values[next]); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-grown:
		}
	}
	return ctx.Err()
}
