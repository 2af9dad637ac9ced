package endpoint

import (
	"testing"
	"time"
)

// TestDefaultsKeepWithinTheRFCs: what a Config may be changed to is its
// owner's choice; what holds when nothing is said is not.
func TestDefaultsKeepWithinTheRFCs(t *testing.T) {
	c := DefaultConfig()
	for why, ok := range map[string]bool{
		"SHLD-10: R1 is at least 3 retransmissions":        c.R1 >= 3,
		"SHLD-11: R2 is at least 100 s":                    c.R2 >= 100*time.Second,
		"MUST-17: a relay has no Nagle":                    !c.Nagle,
		"MUST-25: keep-alive is off":                       c.KeepAlive.Idle == 0,
		"MUST-40: an ACK is delayed by less than 0.5 s":    c.AckDelay < 500*time.Millisecond,
		"SHLD-19: every second full-sized segment":         c.AckEvery == 2,
		"RFC 6298, 2.1: the first RTO is 1 s":              c.InitialRTO == time.Second,
		"RFC 6298, 2.5: the RTO's bound is at least 60 s":  c.MaxRTO >= time.Minute,
		"RFC 6928: an initial window of ten segments":      c.InitialWindow == 10,
		"MUST-13: TIME-WAIT lasts longer than most delays": c.MSL >= 30*time.Second,
		"MAY-18: CUBIC": newCongestionControl(c.Congestion).Name() == "cubic",
	} {
		if !ok {
			t.Error(why)
		}
	}
}

// TestSYNIsSentForThreeMinutes: MUST-23.
func TestSYNIsSentForThreeMinutes(t *testing.T) {
	cfg := DefaultConfig()
	now := Time(time.Second)
	e := NewActive(now, &cfg, testOpen(1))
	began := now
	for e.State() == SynSent {
		sent(t, e, now)
		now = e.NextTimeout()
		e.HandleTimeout(now)
	}
	if took := now.Sub(began); took < 3*time.Minute {
		t.Errorf("given up after %v", took)
	}
}
