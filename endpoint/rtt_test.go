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
	r.sample(500 * time.Millisecond)
	want("first measurement: R + 4 R/2", 1500*time.Millisecond)
	r.sample(500 * time.Millisecond)
	want("the variance decays by a quarter", 500*time.Millisecond+4*187500*time.Microsecond)
	for range 100 {
		r.sample(time.Millisecond)
	}
	if got := r.rto(); got < cfg.MinRTO || got > cfg.MinRTO+50*time.Millisecond {
		t.Errorf("RTO on a short path is %v, wanted about the minimum", got)
	}
	for range 100 {
		r.back()
	}
	want("backoff is bounded", cfg.MaxRTO)
}
