package endpoint

import (
	"math"
	"time"
)

// CongestionControl is an algorithm of congestion avoidance. Window sizes are
// in octets.
type CongestionControl interface {
	// Grow returns the new cwnd for an ACK of acked octets that arrived in
	// congestion avoidance.
	Grow(now Time, cwnd, acked, mss int, srtt time.Duration) int
	// Reduce returns the new ssthresh after a loss with flight octets
	// outstanding; timeout tells that slow start follows.
	Reduce(now Time, cwnd, flight, mss int, timeout bool) int
	// Undo takes the last Reduce back: nothing had been lost.
	Undo()
	// Name is the algorithm's name as a configuration spells it.
	Name() string
}

// newCongestionControl makes the algorithm of that name.
func newCongestionControl(name string) CongestionControl {
	if name == "newreno" {
		return newReno{}
	}
	return &cubic{}
}

// congestion is the congestion window of one endpoint (RFC 5681; MUST-19).
type congestion struct {
	cwnd     int
	ssthresh int
	cc       CongestionControl
	mss      int32
	hystart  hystart
	// limited tells that cwnd kept us from sending more than what lies before
	// limitedTo: the ACKs of that may open it, of which one may be read in the
	// same burst as others.
	limitedTo Seq
	initial   uint16 // initial window in segments
	limited   bool
}

// limit notes that cwnd is what keeps us from sending beyond nxt.
func (c *congestion) limit(nxt Seq) { c.limited, c.limitedTo = true, nxt }

const infiniteWindow = 1 << 30

func (c *congestion) init(cfg *Config, mss int, iss Seq) {
	c.mss = int32(mss)
	// RFC 6928: ten segments, or as configured.
	c.initial = uint16(min(cfg.InitialWindow, math.MaxUint16))
	c.cwnd, c.ssthresh = cfg.InitialWindow*mss, infiniteWindow
	c.hystart = hystart{end: iss + 1}
	if c.cc == nil {
		c.cc = newCongestionControl(cfg.Congestion)
	}
}

// established starts the data phase; after a lost SYN the window starts at
// one segment (RFC 5681, 3.1).
func (c *congestion) established(synLost bool) {
	if synLost {
		c.cwnd = int(c.mss)
	}
}

// onACK opens the window: slow start below ssthresh, by appropriate byte
// counting (RFC 3465), else the algorithm's way. We depart from the RFC, which
// counts one or two segments an ACK at most, because a peer whose kernel
// merges segments acknowledges 64 KiB at once; ssthresh bounds the leap. For
// the same reason HyStart++ has no limit L (RFC 9406, 4.3).
func (c *congestion) onACK(now Time, acked int, srtt time.Duration) {
	if !c.limited {
		// What the window did not hold back is no proof that it may grow
		// (RFC 7661).
		return
	}
	if c.cwnd < c.ssthresh {
		// One ACK may cover much, but slow start ends at ssthresh.
		grown := min(c.hystart.growth(acked), c.ssthresh-c.cwnd)
		c.cwnd += grown
		if acked -= grown; acked == 0 || c.cwnd < c.ssthresh {
			return
		}
	}
	c.cwnd = min(c.cc.Grow(now, c.cwnd, acked, int(c.mss), srtt), infiniteWindow)
}

// onRTT lets HyStart++ judge the first slow start, which ends when ssthresh is
// set for the first time (RFC 9406, 4.2).
func (c *congestion) onRTT(una, nxt Seq, rtt time.Duration) {
	if c.ssthresh < infiniteWindow {
		c.hystart.phase = hystartOver
	} else if c.hystart.onACK(una, nxt, rtt) {
		c.ssthresh = c.cwnd
	}
}

func (c *congestion) onLoss(now Time, flight int) { c.reduce(now, flight, false) }

func (c *congestion) reduce(now Time, flight int, timeout bool) {
	// What limited transmit has added does not count (RFC 5681, 3.2, step 2).
	flight = min(flight, max(c.cwnd, int(c.mss)))
	c.ssthresh = max(c.cc.Reduce(now, c.cwnd, flight, int(c.mss), timeout), 2*int(c.mss))
	c.hystart.phase = hystartOver
}

func (c *congestion) onTimeout(now Time, flight int, first bool) {
	if first {
		c.reduce(now, flight, true)
	}
	c.cwnd = int(c.mss) // the loss window (RFC 5681, 3.1)
}

// undo goes back to what was before a needless reduction (RFC 4015, 3.2;
// RFC 9438, 4.9).
func (c *congestion) undo(cwnd, ssthresh int) {
	c.cwnd = max(c.cwnd, cwnd)
	c.ssthresh = max(c.ssthresh, ssthresh)
	c.cc.Undo()
}

// afterIdle is the restart window (RFC 5681, 4.1).
func (c *congestion) afterIdle() { c.cwnd = min(c.cwnd, int(c.initial)*int(c.mss)) }

func (c *congestion) setMSS(mss int) { c.mss = int32(mss) }
