package endpoint

import (
	"math"
	"time"
)

// Constants of RFC 9438, 4.6 and 5.
const (
	cubicC    = 0.4
	cubicBeta = 0.7
	// cubicAlpha makes the Reno-friendly window grow as fast on the whole as
	// Reno's, which is cut deeper (4.3).
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

// cubic is CUBIC (RFC 9438; MAY-18).
type cubic struct {
	cubicState
	// before is the state before the last reduction, for Undo. It exists
	// from the first reduction on.
	before *cubicState
}

// cubicState is what CUBIC knows. Its windows are in segments.
type cubicState struct {
	wEst  float64 // window that Reno would have (4.3)
	epoch Time    // start of the present congestion avoidance
	wMax  float32
	prior float32 // cwnd_prior: cwnd before the last reduction (4.3)
	k     float32 // seconds
}

func (*cubic) Name() string { return "cubic" }

func (c *cubic) Grow(now Time, cwnd, acked, mss int, srtt time.Duration) int {
	w := float64(cwnd) / float64(mss)
	if c.epoch == 0 {
		c.begin(now, w)
	}
	segments := float64(acked) / float64(mss)
	alpha := cubicAlpha
	if c.wEst >= float64(c.prior) {
		alpha = 1
	}
	c.wEst += alpha * segments / w
	t := now.Sub(c.epoch).Seconds()
	if c.curve(t) < c.wEst {
		// 4.3: the Reno-friendly region.
		return max(cwnd, int(c.wEst*float64(mss)))
	}
	// 4.2, 4.4 and 4.5: the target lies one round trip ahead, between cwnd and
	// 1.5 cwnd.
	target := min(max(c.curve(t+srtt.Seconds()), w), 1.5*w)
	return cwnd + int((target-w)/w*segments*float64(mss))
}

// begin starts an epoch of congestion avoidance with a window of w.
func (c *cubic) begin(now Time, w float64) {
	c.epoch, c.wEst = now, w
	if float64(c.wMax) < w {
		// Slow start has passed the old maximum, or there is none (4.8, 4.10).
		c.wMax, c.k = float32(w), 0
	} else {
		c.k = float32(math.Cbrt((float64(c.wMax) - w) / cubicC)) // 4.2, figure 2
	}
}

// curve is W_cubic(t), figure 1.
func (c *cubic) curve(t float64) float64 {
	d := t - float64(c.k)
	return cubicC*d*d*d + float64(c.wMax)
}

func (c *cubic) Reduce(_ Time, cwnd, flight, mss int, timeout bool) int {
	if c.before == nil {
		c.before = new(cubicState)
	}
	*c.before = c.cubicState
	w := float64(min(cwnd, max(flight, mss))) / float64(mss)
	c.epoch = 0
	c.prior = float32(w)
	switch {
	case timeout:
		// 4.8: congestion avoidance begins anew where slow start ends.
		c.wMax = 0
	case w < float64(c.wMax):
		c.wMax = float32(w * (1 + cubicBeta) / 2) // fast convergence, 4.7
	default:
		c.wMax = float32(w)
	}
	return int(w * cubicBeta * float64(mss))
}

// Undo is RFC 9438, 4.9.
func (c *cubic) Undo() {
	if c.before != nil {
		c.cubicState = *c.before
	}
}
