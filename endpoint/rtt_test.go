package endpoint

import (
	"testing"
	"time"
)

func TestRTOFollowsRFC6298(t *testing.T) {
	cfg := DefaultConfig()
	var r rttEstimator
	r.init(&cfg)
	want := func(why string, d time.Duration) {
		t.Helper()
		if got := r.rto(); got != d {
			t.Errorf("%s: RTO is %v, wanted %v", why, got, d)
		}
	}
	want("before any measurement", time.Second)
	r.back()
	want("after a timeout", 2*time.Second)
	r.sample(1, 500*time.Millisecond)
	want("first measurement: R + 4 R/2", 1500*time.Millisecond)
	r.sample(1, 500*time.Millisecond)
	want("the variance decays by a quarter", 500*time.Millisecond+4*187500*time.Microsecond)
	for range 100 {
		r.sample(1, time.Millisecond)
	}
	if got := r.rto(); got < cfg.MinRTO || got > cfg.MinRTO+50*time.Millisecond {
		t.Errorf("RTO on a short path is %v, wanted about the minimum", got)
	}
	for range 100 {
		r.back()
	}
	want("backoff is bounded", cfg.MaxRTO)
}

// The smallest round trip is forgotten when the path has become longer.
func TestMinRTTAges(t *testing.T) {
	cfg := DefaultConfig()
	var r rttEstimator
	r.init(&cfg)
	now := Time(time.Second)
	sample := func(d time.Duration) {
		now = now.Add(time.Second)
		r.sample(now, d)
	}
	sample(10 * time.Millisecond)
	for range int(minRTTWindow/time.Second) - 5 {
		sample(80 * time.Millisecond)
	}
	if r.min != 10*time.Millisecond {
		t.Errorf("within the window the minimum is %v, wanted 10ms", r.min)
	}
	for range 2 * int(minRTTWindow/time.Second) {
		sample(80 * time.Millisecond)
	}
	if r.min != 80*time.Millisecond {
		t.Errorf("two windows later the minimum is %v, wanted 80ms", r.min)
	}
	sample(5 * time.Millisecond)
	if r.min != 5*time.Millisecond {
		t.Errorf("a smaller sample counts at once, the minimum is %v", r.min)
	}
}

func TestMicrosKeepsWithinItsBounds(t *testing.T) {
	for d, want := range map[time.Duration]micros{-1: 0, 0: 0, time.Microsecond: 1, time.Hour: 3600e6, 100 * time.Hour: 1<<32 - 1} {
		if got := toMicros(d); got != want {
			t.Errorf("%v is %d µs, wanted %d", d, got, want)
		}
	}
}
