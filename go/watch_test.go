package plugmux

import (
	"context"
	"slices"
	"sync"
	"testing"
)

func TestAWatchMapGivesThePresentValueAndEveryNewOne(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var values WatchMap[string, int]
	if _, known := values.Get("mine"); known {
		t.Fatal("an empty map has a value")
	}
	values.Set("mine", 1)
	values.Set("mine", 2)
	var seen []int
	for value := range values.Watch(ctx, "mine") {
		seen = append(seen, value)
		switch value {
		case 2: // whatever comes while a value is dealt with waits
			values.Set("other", 30)
			values.Set("mine", 3)
			values.Set("mine", 4)
		case 4:
			cancel()
		}
	}
	if !slices.Equal(seen, []int{2, 3, 4}) {
		t.Errorf("saw %v", seen)
	}
	if value, known := values.Get("mine"); !known || value != 4 {
		t.Errorf("the value is %d, %t", value, known)
	}
}

func TestEverybodyWhoWatchesAWatchMapMissesNothing(t *testing.T) {
	const watchers, count = 8, 1000
	var values WatchMap[string, int]
	values.Set("counter", 0)
	var running, watching sync.WaitGroup
	for range watchers {
		watching.Add(1)
		running.Go(func() {
			expected := 0
			for value := range values.Watch(t.Context(), "counter") {
				if value != expected {
					t.Errorf("got %d, expected %d", value, expected)
					return
				}
				if expected++; value == 0 {
					watching.Done()
				} else if value == count {
					return
				}
			}
		})
	}
	watching.Wait()
	for value := range count {
		values.Set("counter", value+1)
	}
	running.Wait()
}
