package endpoint

import "time"

// newReno is the congestion avoidance of RFC 5681, 3.1.
type newReno struct{}

func (newReno) Name() string { return "newreno" }

func (newReno) Grow(_ Time, cwnd, acked, mss int, _ time.Duration) int {
	return cwnd + max(mss*min(acked, cwnd)/cwnd, 1)
}

func (newReno) Reduce(_ Time, _, flight, _ int, _ bool) int { return flight / 2 }

// Undo has nothing to do: all that NewReno knows is cwnd and ssthresh.
func (newReno) Undo() {}
