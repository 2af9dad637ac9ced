package endpoint

import (
	"math"
	"time"
)

// Constants of RFC 9438, 4.
const (
	cubicC    = 0.4
	cubicBeta = 0.7
)

// cubic is CUBIC (RFC 9438; MAY-18). Windows in its state are in segments.
type cubic struct {
	wMax  float64
	k     float64 // seconds
	epoch Time    // start of the present congestion avoidance
	wEst  float64 // window that Reno would have (4.3)
	start float64 // cwnd at the start of the epoch
}

func (*cubic) Name() string { return "cubic" }

func (c *cubic) Grow(now Time, cwnd, acked, mss int, srtt time.Duration) int {
	w := float64(cwnd) / float64(mss)
	if c.epoch == 0 {
		c.epoch = now
		c.start, c.wEst = w, w
		if c.wMax < w {
			c.wMax, c.k = w, 0
		} else {
			c.k = math.Cbrt((c.wMax - w) / cubicC) // 4.2, figure 2
		}
	}
	segments := float64(acked) / float64(mss)
	// 4.3: never slower than Reno.
	alpha := 3 * (1 - cubicBeta) / (1 + cubicBeta)
	if c.wEst >= c.wMax {
		alpha = 1
	}
	c.wEst += alpha * segments / w
	t := now.Sub(c.epoch).Seconds()
	curve := func(t float64) float64 { d := t - c.k; return cubicC*d*d*d + c.wMax }
	if curve(t) < c.wEst {
		return max(cwnd, int(c.wEst*float64(mss)))
	}
	// 4.2: the target lies one round trip ahead, between cwnd and 1.5 cwnd.
	target := min(max(curve(t+srtt.Seconds()), w), 1.5*w)
	return cwnd + int((target-w)/w*segments*float64(mss))
}

func (c *cubic) Reduce(_ Time, cwnd, flight, mss int) int {
	w := float64(min(cwnd, max(flight, mss))) / float64(mss)
	c.epoch = 0
	if w < c.wMax {
		c.wMax = w * (1 + cubicBeta) / 2 // fast convergence, 4.7
	} else {
		c.wMax = w
	}
	return int(w * cubicBeta * float64(mss))
}
