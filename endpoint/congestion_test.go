package endpoint

import (
	"testing"
	"time"
)

func newTestCongestion(name string) *congestion {
	cfg := DefaultConfig()
	cfg.Congestion = name
	c := &congestion{}
	c.init(&cfg, 1000)
	return c
}

func TestSlowStartDoublesEachRound(t *testing.T) {
	c := newTestCongestion("newreno")
	if c.cwnd != 10_000 {
		t.Fatalf("initial window is %d, wanted 10 segments (RFC 6928)", c.cwnd)
	}
	for range 10 {
		c.limited = true
		c.onACK(1, 1000, time.Millisecond)
	}
	if c.cwnd != 20_000 {
		t.Errorf("cwnd is %d after a window of ACKs, wanted 20000", c.cwnd)
	}
	c.limited = false
	c.onACK(1, 1000, time.Millisecond)
	if c.cwnd != 20_000 {
		t.Error("an unused window grew (RFC 7661)")
	}
}

func TestNewRenoGrowsBySegmentAndHalves(t *testing.T) {
	c := newTestCongestion("newreno")
	c.onLoss(1, 20_000)
	if c.ssthresh != 10_000 {
		t.Errorf("ssthresh is %d, wanted half the flight", c.ssthresh)
	}
	c.cwnd = c.ssthresh
	for range 10 {
		c.limited = true
		c.onACK(1, 1000, time.Millisecond)
	}
	if c.cwnd < 10_900 || c.cwnd > 11_000 {
		t.Errorf("cwnd is %d after a round trip, wanted about one segment more", c.cwnd)
	}
	c.onLoss(1, 1000)
	if c.ssthresh != 2000 {
		t.Errorf("ssthresh is %d, wanted at least two segments", c.ssthresh)
	}
	c.onTimeout(1, 20_000, true)
	if c.cwnd != 1000 {
		t.Errorf("cwnd after a timeout is %d, wanted one segment", c.cwnd)
	}
}

// After a loss CUBIC comes back to the old window at K and then probes beyond
// it (RFC 9438, 4.2).
func TestCubicComesBack(t *testing.T) {
	c := newTestCongestion("")
	if c.cc.Name() != "cubic" {
		t.Fatalf("the default is %s", c.cc.Name())
	}
	c.cwnd = 1_000_000
	c.onLoss(Time(time.Second), 1_000_000)
	if c.ssthresh != 700_000 {
		t.Fatalf("ssthresh is %d, wanted 0.7 of the window", c.ssthresh)
	}
	c.cwnd = c.ssthresh
	rtt := 100 * time.Millisecond
	now := Time(time.Second)
	var reached time.Duration
	for range 200 {
		now = now.Add(rtt)
		for acked := 0; acked < c.cwnd; acked += 10_000 {
			c.limited = true
			c.onACK(now, 10_000, rtt)
		}
		if reached == 0 && c.cwnd >= 995_000 {
			reached = now.Sub(Time(time.Second))
		}
	}
	// K = cbrt(300/0.4) = 9.1 s.
	if reached < 6*time.Second || reached > 11*time.Second {
		t.Errorf("the old window is back after %v, wanted about 9 s", reached)
	}
	if c.cwnd < 1_200_000 {
		t.Errorf("cwnd after 20 s is %d: it does not probe", c.cwnd)
	}
}
