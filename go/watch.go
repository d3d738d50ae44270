package plugmux

import (
	"context"
	"iter"
	"sync"
)

// WatchMap is a map whose values can be watched, for services that stream changes. The zero value is empty and ready for use.
// Several goroutines may use a WatchMap at once.
type WatchMap[K comparable, V any] struct {
	lock   sync.Mutex
	values map[K]V
	next   *change[K, V]
}

// change is an element of the linked list of changes. Each watcher follows the list; elements that all watchers have passed
// are garbage.
type change[K comparable, V any] struct {
	made  chan struct{} // closed when the other fields are set
	key   K
	value V
	next  *change[K, V]
}

// Get returns the value of a key, and whether the key has one.
func (m *WatchMap[K, V]) Get(key K) (V, bool) {
	value, known, _ := m.look(key)
	return value, known
}

// Set sets the value of a key and tells the watchers of the key.
func (m *WatchMap[K, V]) Set(key K, value V) {
	m.lock.Lock()
	defer m.lock.Unlock()
	made := m.begin()
	m.values[key] = value
	m.next = &change[K, V]{made: make(chan struct{})}
	made.key, made.value, made.next = key, value, m.next
	close(made.made)
}

// Watch returns the present value of a key, if it has one, and then every new value until the context ends. No value is
// skipped: those that a slow reader has not seen are kept.
func (m *WatchMap[K, V]) Watch(ctx context.Context, key K) iter.Seq[V] {
	return func(yield func(V) bool) {
		value, known, next := m.look(key)
		if known && !yield(value) {
			return
		}
		for ; ; next = next.next {
			select {
			case <-ctx.Done():
				return
			case <-next.made:
			}
			if next.key == key && !yield(next.value) {
				return
			}
		}
	}
}

// look returns the value of a key and the change that comes next.
func (m *WatchMap[K, V]) look(key K) (V, bool, *change[K, V]) {
	m.lock.Lock()
	defer m.lock.Unlock()
	next := m.begin()
	value, known := m.values[key]
	return value, known, next
}

func (m *WatchMap[K, V]) begin() *change[K, V] {
	if m.next == nil {
		m.values, m.next = map[K]V{}, &change[K, V]{made: make(chan struct{})}
	}
	return m.next
}
