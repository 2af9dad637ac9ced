package endpoint

import (
	"testing"
	"time"
)

func newTestCongestion(name string) *congestion {
	cfg := DefaultConfig()
	cfg.Congestion = name
	c := &congestion{}
	c.init(&cfg, 1000, 0)
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
	c.cwnd = 20_000
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

// After a timeout CUBIC's avoidance begins anew where slow start ends, with
// no old maximum to return to (RFC 9438, 4.8).
func TestCubicForgetsTheMaximumAfterATimeout(t *testing.T) {
	c := newTestCongestion("")
	c.cwnd = 1_000_000
	c.onTimeout(Time(time.Second), 1_000_000, true)
	if c.ssthresh != 700_000 || c.cwnd != 1000 {
		t.Fatalf("ssthresh %d, cwnd %d after a timeout, wanted 700000 and 1000", c.ssthresh, c.cwnd)
	}
	c.cwnd, c.limited = c.ssthresh, true
	c.onACK(Time(2*time.Second), 1000, 100*time.Millisecond)
	if q := c.cc.(*cubic); q.k != 0 || q.wMax != 700 {
		t.Errorf("K is %v and W_max %v, wanted 0 and 700 segments", q.k, q.wMax)
	}
}

// A needless reduction leaves no trace (RFC 9438, 4.9).
func TestCubicUndo(t *testing.T) {
	c := newTestCongestion("")
	c.cwnd, c.ssthresh = 1_000_000, 500_000
	c.limited = true
	c.onACK(Time(time.Second), 1000, 100*time.Millisecond)
	cwnd, ssthresh, before := c.cwnd, c.ssthresh, c.cc.(*cubic).cubicState
	c.onLoss(Time(2*time.Second), 1_000_000)
	c.cwnd = c.ssthresh
	c.undo(cwnd, ssthresh)
	if c.cwnd != cwnd || c.ssthresh < ssthresh || c.cc.(*cubic).cubicState != before {
		t.Errorf("cwnd %d, ssthresh %d, %+v after the undo; before %d, %d, %+v", c.cwnd, c.ssthresh, c.cc.(*cubic).cubicState, cwnd, ssthresh, before)
	}
}

// The Reno-friendly window grows by alpha until it reaches the window before
// the loss, by one segment a round trip from there (RFC 9438, 4.3).
func TestCubicIsRenoFriendly(t *testing.T) {
	c := newTestCongestion("")
	c.cwnd = 20_000
	c.onLoss(Time(time.Second), 20_000)
	c.cwnd = c.ssthresh
	now, rounds := Time(time.Second), 0
	for ; c.cwnd < 20_000 && rounds < 100; rounds++ {
		// A round trip of 1 ms: the cubic function hardly moves.
		now = now.Add(time.Millisecond)
		for acked := 0; acked < c.cwnd; acked += 1000 {
			c.limited = true
			c.onACK(now, 1000, time.Millisecond)
		}
	}
	// 6 segments at 0.53 a round trip.
	if rounds < 10 || rounds > 13 {
		t.Errorf("back at the old window after %d round trips, wanted about 11", rounds)
	}
	for range 10 {
		now = now.Add(time.Millisecond)
		for acked := 0; acked < c.cwnd; acked += 1000 {
			c.limited = true
			c.onACK(now, 1000, time.Millisecond)
		}
	}
	if c.cwnd < 28_500 || c.cwnd > 31_000 {
		t.Errorf("ten round trips later cwnd is %d, wanted about 30000", c.cwnd)
	}
}

// ACKs that are read in one burst, before anything can be sent, open the
// window each: slow start doubles whatever the ACKs' timing.
func TestACKsOfOneBurstOpenTheWindowEach(t *testing.T) {
	cfg := DefaultConfig()
	cfg.InitialWindow = 2
	o := testOpen(5000)
	o.Timestamps = false
	e, now := NewPassive(&cfg, o), Time(time.Second)
	var out Segment
	poll := func() (octets int) {
		for e.PollSegment(now, &out) {
			octets += out.PayloadLen()
		}
		return octets
	}
	e.HandleSegment(now, &Segment{Seq: 90000, Flags: SYN, Window: 65535, Options: Options{Has: HasMSS | HasSACKPermitted, MSS: 1000}})
	poll()
	e.HandleSegment(now, &Segment{Seq: 90001, Ack: 5001, Flags: ACK, Window: 65535})
	e.Write(now, NewChunk(make([]byte, 60_000), nil))
	acked := 0
	for _, want := range []int{2000, 4000, 8000, 16000} {
		got := poll()
		if got != want {
			t.Fatalf("a flight of %d octets, wanted %d", got, want)
		}
		now = now.Add(50 * time.Millisecond)
		for range got / 1000 {
			acked += 1000
			e.HandleSegment(now, &Segment{Seq: 90001, Ack: 5001 + Seq(acked), Flags: ACK, Window: 65535})
		}
	}
}
