package faults

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Count is what one fault of one connection has come by so far.
type Count struct {
	asked uint64 // segments, or moments, before the draw
	left  uint64 // after it
}

// Choose counts a segment, or a moment, that a fault's other choices leave, and
// tells whether the fault acts on it: first the probability is drawn, and of
// those that it chooses nth, first and every count.
func (c *Count) Choose(w *rules.Which, seed, ordinal uint64, fault int) bool {
	c.asked++
	if w.Probability > 0 && w.Probability < 1 && rules.Draw(seed, ordinal, uint64(fault), c.asked, saltChoice) >= w.Probability {
		return false
	}
	c.left++
	return (w.Nth == 0 || c.left == w.Nth) &&
		(w.First == 0 || c.left <= w.First) &&
		(w.Every == 0 || c.left%w.Every == 0)
}

// What tells the draws for one fault and count from each other.
const (
	saltChoice = iota
	saltJitter
	saltBit
)

// Inside tells whether at lies in the time that After and For leave, with
// established being when the leg became so; Never is not yet.
func Inside(w *rules.Which, established, at endpoint.Time) bool {
	if w.After == 0 && w.For == 0 {
		return true
	}
	if established == endpoint.Never {
		return false
	}
	since := at.Sub(established)
	return since >= w.After && (w.For == 0 || since-w.After < w.For)
}

// jittered is by give or take jitter, by a number from 0 to 1.
func jittered(by, jitter time.Duration, draw float64) time.Duration {
	return max(0, by+time.Duration((2*draw-1)*float64(jitter)))
}

// candidate tells whether a segment is one that the fault is on, before
// anything is counted or drawn.
func (s *Stage) candidate(f *fault, now endpoint.Time, t *trip) bool {
	if f.on&t.kinds == 0 || f.leg != t.leg || f.In == t.out {
		return false
	}
	if f.Retransmits.Set && f.Retransmits.Value != t.again {
		return false
	}
	if b := &f.Bytes; *b != (rules.Octets{}) && (t.from == t.to || t.from >= b.To || t.to <= b.From) {
		return false
	}
	if !Inside(&f.Which, s.established[f.leg], now) {
		return false
	}
	switch f.Do {
	case rules.Split:
		return t.seg.PayloadLen() > f.Size && f.Size > 0 && !t.seg.Flags.Has(endpoint.SYN)
	case rules.Hold:
		return !s.reached(f.leg, f.Until)
	}
	return true
}
