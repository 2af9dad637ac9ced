package endpoint

import (
	"testing"
	"time"
)

// blackHole drops, without a word, the packets of end 0 that are larger than
// mtu octets.
func blackHole(mtu *int) func(int, *Segment) bool {
	return func(from int, s *Segment) bool {
		raw := len(AppendHeader(nil, 1, 2, s)) + 20 + s.PayloadLen()
		return from == 0 && raw > *mtu
	}
}

// Through a black hole a transfer goes on in smaller packets, finds the
// largest size that passes, and takes the probes' loss for no congestion.
func TestBlackHoleIsSearched(t *testing.T) {
	for _, hole := range []int{600, 1000, 1210, 1300, 1492} {
		cfg := DefaultConfig()
		cfg.MSL = time.Second
		cfg.ReceiveBuffer = 60000
		mtu := hole
		p := newPair(t, 3, cfg, cfg, testOpen(1), testOpen(2),
			linkFaults{delay: 50 * time.Millisecond, drop: blackHole(&mtu)})
		low := 0
		lowest := p.link.drop
		p.link.drop = func(from int, s *Segment) bool {
			if a := p.ends[0]; a.snd.mss < 1448 && a.recovery.active {
				low++
			}
			return lowest(from, s)
		}
		p.run([2]int{20_000_000, 0}, 1<<30)
		a := p.ends[0]
		packet := a.snd.mss + 52
		if packet > hole || packet < hole-2*probeStep {
			t.Errorf("MTU %d: packets of %d octets in the end", hole, packet)
		}
		if a.counters.Timeouts > 4+8 {
			t.Errorf("MTU %d: %d timeouts", hole, a.counters.Timeouts)
		}
		if low > 0 {
			t.Errorf("MTU %d: a lost probe was taken for congestion", hole)
		}
	}
}

// When the path gets better, a search of another time finds that.
func TestSearchFindsABetterPath(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MSL = time.Second
	cfg.ReceiveBuffer = 60000
	mtu := 1000
	p := newPair(t, 4, cfg, cfg, testOpen(1), testOpen(2), linkFaults{delay: 500 * time.Millisecond})
	drop := blackHole(&mtu)
	p.link.drop = func(from int, s *Segment) bool {
		if p.now > Time(5*time.Minute) {
			mtu = 1500
		}
		return drop(from, s)
	}
	p.run([2]int{50_000_000, 0}, 1<<30)
	if got := p.ends[0].snd.mss; got != 1448 {
		t.Errorf("segments of %d octets in the end, want 1448", got)
	}
	if p.ends[0].path.search != nil {
		t.Error("the search goes on though the top has been reached")
	}
}
