package main

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	mebibyte     = 1 << 20
	microseconds = float64(time.Microsecond)
	// warmUp is the part of a measurement's time that comes before it and is not counted.
	warmUp = 0.25
)

// row is one measurement. Fields that do not apply are left out.
type row struct {
	Work    string  `json:"work"`
	System  string  `json:"system"`
	P50     float64 `json:"p50_us,omitempty"`
	P99     float64 `json:"p99_us,omitempty"`
	PerS    float64 `json:"per_s,omitempty"`
	MiBPerS float64 `json:"mib_per_s,omitempty"`
	N       int     `json:"n"`
}

// bench measures one system.
type bench struct {
	system   string
	works    string
	duration time.Duration
	output   *json.Encoder
}

func (b *bench) wants(work string) bool {
	return b.works == "" || slices.Contains(strings.Split(b.works, ","), work)
}

func (b *bench) print(r row) error {
	r.System = b.system
	for _, figure := range []*float64{&r.P50, &r.P99, &r.PerS, &r.MiBPerS} {
		*figure = math.Round(*figure*100) / 100
	}
	return b.output.Encode(r)
}

// calls measures single calls, a number of them in flight, each of which moves size bytes there and back.
func (b *bench) calls(work string, inFlight, size int, call func([]byte) error) error {
	if !b.wants(work) {
		return nil
	}
	if _, err := loop(inFlight, size, time.Duration(warmUp*float64(b.duration)), call); err != nil {
		return err
	}
	begin := time.Now()
	took, err := loop(inFlight, size, b.duration, call)
	if err != nil {
		return err
	}
	rate := float64(len(took)) / time.Since(begin).Seconds()
	slices.Sort(took)
	return b.print(row{
		Work:    work,
		P50:     float64(took[len(took)/2]) / microseconds,
		P99:     float64(took[len(took)*99/100]) / microseconds,
		PerS:    rate,
		MiBPerS: rate * float64(size) / mebibyte,
		N:       len(took),
	})
}

// loop calls for a time, and gives the time that each call took.
func loop(inFlight, size int, duration time.Duration, call func([]byte) error) ([]time.Duration, error) {
	type outcome struct {
		took []time.Duration
		err  error
	}
	outcomes := make(chan outcome)
	deadline := time.Now().Add(duration)
	for range inFlight {
		go func() {
			var o outcome
			payload := make([]byte, size)
			for begin := time.Now(); o.err == nil && begin.Before(deadline); {
				o.err = call(payload)
				end := time.Now()
				o.took = append(o.took, end.Sub(begin))
				begin = end
			}
			outcomes <- o
		}()
	}
	var all []time.Duration
	var err error
	for range inFlight {
		o := <-outcomes
		all = append(all, o.took...)
		if o.err != nil {
			err = o.err
		}
	}
	return all, err
}

// stream measures streams of count messages of size bytes each, one after another; the median of them counts.
func (b *bench) stream(work string, count, size int, move func(count, size int) error) error {
	if !b.wants(work) {
		return nil
	}
	if _, err := repeat(time.Duration(warmUp*float64(b.duration)), count, size, move); err != nil {
		return err
	}
	took, err := repeat(b.duration, count, size, move)
	if err != nil {
		return err
	}
	slices.Sort(took)
	rate := float64(count) / took[len(took)/2].Seconds()
	return b.print(row{Work: work, PerS: rate, MiBPerS: rate * float64(size) / mebibyte, N: count * len(took)})
}

// repeat moves streams for a time, and gives the time that each of them took.
func repeat(duration time.Duration, count, size int, move func(count, size int) error) ([]time.Duration, error) {
	var took []time.Duration
	for left := duration; left > 0; left -= took[len(took)-1] {
		begin := time.Now()
		if err := move(count, size); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}
