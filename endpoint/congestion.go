package endpoint

import "time"

// CongestionControl is an algorithm of congestion avoidance. Window sizes are
// in octets.
type CongestionControl interface {
	// Grow returns the new cwnd for an ACK of acked octets that arrived in
	// congestion avoidance.
	Grow(now Time, cwnd, acked, mss int, srtt time.Duration) int
	// Reduce returns the new ssthresh after a loss with flight octets
	// outstanding.
	Reduce(now Time, cwnd, flight, mss int) int
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
	mss      int
	cc       CongestionControl
	initial  int32 // initial window in segments
	limited  bool  // cwnd kept us from sending since the last ACK
}

const infiniteWindow = 1 << 30

func (c *congestion) init(cfg *Config, mss int) {
	c.mss = mss
	// RFC 6928: ten segments, or as configured.
	c.initial = int32(cfg.InitialWindow)
	c.cwnd, c.ssthresh = cfg.InitialWindow*mss, infiniteWindow
	if c.cc == nil {
		c.cc = newCongestionControl(cfg.Congestion)
	}
}

// established starts the data phase; after a lost SYN the window starts at
// one segment (RFC 5681, 3.1).
func (c *congestion) established(synLost bool) {
	if synLost {
		c.cwnd = c.mss
	}
}

// onACK opens the window: slow start below ssthresh, by appropriate byte
// counting (RFC 3465), else the algorithm's way. We depart from the RFC, which
// counts one or two segments an ACK at most, because a peer whose kernel
// merges segments acknowledges 64 KiB at once; ssthresh bounds the leap.
func (c *congestion) onACK(now Time, acked int, srtt time.Duration) {
	if !c.limited {
		// What the window did not hold back is no proof that it may grow
		// (RFC 7661).
		return
	}
	c.limited = false
	if c.cwnd < c.ssthresh {
		// One ACK may cover much, but slow start ends at ssthresh.
		n := min(acked, c.ssthresh-c.cwnd)
		c.cwnd += n
		if acked -= n; acked == 0 {
			return
		}
	}
	c.cwnd = min(c.cc.Grow(now, c.cwnd, acked, c.mss, srtt), infiniteWindow)
}

func (c *congestion) onLoss(now Time, flight int) {
	c.ssthresh = max(c.cc.Reduce(now, c.cwnd, flight, c.mss), 2*c.mss)
}

func (c *congestion) onTimeout(now Time, flight int, first bool) {
	if first {
		c.onLoss(now, flight)
	}
	c.cwnd = c.mss // the loss window (RFC 5681, 3.1)
}

// afterIdle is the restart window (RFC 5681, 4.1).
func (c *congestion) afterIdle() { c.cwnd = min(c.cwnd, int(c.initial)*c.mss) }

func (c *congestion) setMSS(mss int) { c.mss = mss }
