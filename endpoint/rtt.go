package endpoint

import "time"

// maxBackoff bounds the doublings of the RTO, so that no shift can overflow.
const maxBackoff = 16

// rttEstimator computes the retransmission timeout (RFC 6298; MUST-18).
type rttEstimator struct {
	srtt, rttvar time.Duration
	min          time.Duration // smallest sample, for RACK (RFC 8985, 6.1)
	initial      time.Duration // before the first sample
	cfg          *Config       // bounds of the RTO
	backoff      uint8
}

func (r *rttEstimator) init(cfg *Config) {
	r.cfg, r.initial = cfg, cfg.InitialRTO
}

// sample takes a measurement; never one of a retransmitted segment unless
// timestamps say which transmission was answered (Karn; RFC 6298, 3).
func (r *rttEstimator) sample(d time.Duration) {
	d = max(d, time.Microsecond)
	if r.min == 0 || d < r.min {
		r.min = d
	}
	if r.srtt == 0 { // RFC 6298, 2.2
		r.srtt, r.rttvar = d, d/2
	} else { // RFC 6298, 2.3
		diff := r.srtt - d
		if diff < 0 {
			diff = -diff
		}
		r.rttvar += (diff - r.rttvar) / 4
		r.srtt += (d - r.srtt) / 8
	}
	r.backoff = 0
}

// base is the RTO without backoff.
func (r *rttEstimator) base() time.Duration {
	if r.srtt == 0 {
		return r.initial
	}
	return max(r.srtt+max(4*r.rttvar, tsTick), r.cfg.MinRTO)
}

// rto is the present timeout, backoff included (RFC 6298, 5.5).
func (r *rttEstimator) rto() time.Duration {
	return min(r.base()<<r.backoff, r.cfg.MaxRTO)
}

func (r *rttEstimator) back() {
	if r.backoff < maxBackoff {
		r.backoff++
	}
}
