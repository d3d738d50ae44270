package plugmux

import (
	"context"
	"iter"
	"sync"
)

// WatchMap is a map whose values can be watched, as a service with a stream of changes needs it. The zero value is empty
// and ready for use, from any goroutine.
type WatchMap[K comparable, V any] struct {
	lock   sync.Mutex
	values map[K]V
	coming *change[K, V]
}

// change is one link in the chain of all changes, along which those walk who watch; what they have passed is garbage.
type change[K comparable, V any] struct {
	made  chan struct{} // closed when the rest is there
	key   K
	value V
	next  *change[K, V]
}

// Get gives the value of a key, and whether it has one.
func (m *WatchMap[K, V]) Get(key K) (V, bool) {
	value, known, _ := m.look(key)
	return value, known
}

// Set gives a key a value, of which all who watch the key are told.
func (m *WatchMap[K, V]) Set(key K, value V) {
	m.lock.Lock()
	defer m.lock.Unlock()
	made := m.begin()
	m.values[key] = value
	m.coming = &change[K, V]{made: make(chan struct{})}
	made.key, made.value, made.next = key, value, m.coming
	close(made.made)
}

// Watch gives the present value of a key, if it has one, and then every new one until the context ends. None is left
// out: what a slow reader has not seen yet is kept for it.
func (m *WatchMap[K, V]) Watch(ctx context.Context, key K) iter.Seq[V] {
	return func(yield func(V) bool) {
		value, known, coming := m.look(key)
		if known && !yield(value) {
			return
		}
		for ; ; coming = coming.next {
			select {
			case <-ctx.Done():
				return
			case <-coming.made:
			}
			if coming.key == key && !yield(coming.value) {
				return
			}
		}
	}
}

// look gives the value of a key, and the change that comes next.
func (m *WatchMap[K, V]) look(key K) (V, bool, *change[K, V]) {
	m.lock.Lock()
	defer m.lock.Unlock()
	coming := m.begin()
	value, known := m.values[key]
	return value, known, coming
}

func (m *WatchMap[K, V]) begin() *change[K, V] {
	if m.coming == nil {
		m.values, m.coming = map[K]V{}, &change[K, V]{made: make(chan struct{})}
	}
	return m.coming
}
