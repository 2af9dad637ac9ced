package endpoint

import "time"

// maxBackoff bounds the doublings of the RTO, so that no shift can overflow.
const maxBackoff = 16

// minRTTWindow is how long the smallest round trip is remembered, at least,
// and twice as long at most: when the path has become longer, what was
// measured on the old one must not rule for ever (RFC 8985, 6.1: a windowed
// minimum).
const minRTTWindow = 5 * time.Minute

// rttEstimator computes the retransmission timeout (RFC 6298; MUST-18).
type rttEstimator struct {
	srtt, rttvar time.Duration
	min          time.Duration // smallest sample of late, for RACK (RFC 8985, 6.1)
	cfg          *Config       // bounds of the RTO
	initial      micros        // before the first sample
	latest       micros        // the last sample, until HyStart++ has seen it; 0 if none
	next         micros        // smallest sample of the present half of the window
	turned       uint32        // when that half began, in seconds
	backoff      uint8
}

// micros is a short duration in microseconds: up to 71 minutes.
type micros uint32

func toMicros(d time.Duration) micros {
	return micros(max(0, min(d/time.Microsecond, 1<<32-1)))
}

func (m micros) duration() time.Duration { return time.Duration(m) * time.Microsecond }

func (r *rttEstimator) init(cfg *Config) {
	r.cfg, r.initial = cfg, toMicros(cfg.InitialRTO)
}

// sample takes a measurement; never one of a retransmitted segment unless
// timestamps say which transmission was answered (Karn; RFC 6298, 3).
func (r *rttEstimator) sample(now Time, d time.Duration) {
	d = max(d, time.Microsecond)
	r.latest = toMicros(d)
	r.sampleMin(now, d)
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

// sampleMin keeps the minimum of the last one or two windows: that of the
// whole present window counts from when the next one begins.
func (r *rttEstimator) sampleMin(now Time, d time.Duration) {
	seconds := uint32(int64(now) / int64(time.Second))
	if r.min == 0 {
		r.min, r.next, r.turned = d, toMicros(d), seconds
		return
	}
	if time.Duration(seconds-r.turned)*time.Second >= minRTTWindow {
		r.min = min(max(r.next.duration(), time.Microsecond), d)
		r.next, r.turned = toMicros(d), seconds
	}
	r.min = min(r.min, d)
	r.next = min(r.next, toMicros(d))
}

// takeSample returns what was measured since the last call, or 0.
func (r *rttEstimator) takeSample() time.Duration {
	d := r.latest.duration()
	r.latest = 0
	return d
}

// base is the RTO without backoff.
func (r *rttEstimator) base() time.Duration {
	if r.srtt == 0 {
		return r.initial.duration()
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
