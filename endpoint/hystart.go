package endpoint

import "time"

// Constants of HyStart++ (RFC 9406, 4.3).
const (
	minRTTThresh     = micros(4000)
	maxRTTThresh     = micros(16000)
	minRTTDivisor    = 8
	rttSamples       = 8 // N_RTT_SAMPLE
	cssGrowthDivisor = 4
	cssRounds        = 5
)

// hystartPhase says how far the first slow start has come.
type hystartPhase uint8

const (
	slowStart             hystartPhase = iota
	conservativeSlowStart              // CSS: the round trip has begun to grow
	hystartOver                        // slow start has ended, one way or another
)

// hystart is HyStart++ (RFC 9406): it ends the first slow start when round
// trips become longer, before the queue that they tell of overflows. It
// belongs to slow start, not to an algorithm of congestion avoidance, and
// works for each of them alike.
type hystart struct {
	end      Seq    // windowEnd: SND.NXT when the present round began
	last     micros // lastRoundMinRTT; 0 is infinity
	current  micros // currentRoundMinRTT; 0 is infinity
	baseline micros // cssBaselineMinRtt
	samples  uint8  // rttSampleCount, as far as rttSamples
	rounds   uint8  // rounds in CSS, the first of which may be partial
	phase    hystartPhase
}

// onACK takes the RTT that an ACK of up to una measured (0: none), nxt being
// SND.NXT. It tells whether slow start has come to its end (RFC 9406, 4.2).
//
// A round ends with the first ACK beyond windowEnd: by then all that answers
// the round has left, and rounds keep in step with the bursts. With the ACK of
// windowEnd itself each would begin in the tail of a burst, where the queue
// that the burst has made looks like a path that has become longer.
func (h *hystart) onACK(una, nxt Seq, rtt time.Duration) (leave bool) {
	if h.phase == hystartOver {
		return false
	}
	if una.After(h.end) {
		if h.phase == conservativeSlowStart {
			if h.rounds++; h.rounds >= cssRounds {
				h.phase = hystartOver
				return true
			}
		}
		h.end, h.last, h.current, h.samples = nxt, h.current, 0, 0
	}
	if rtt > 0 {
		m := max(toMicros(rtt), 1)
		if h.current == 0 || m < h.current {
			h.current = m
		}
		h.samples = min(h.samples+1, rttSamples)
	}
	if h.samples == rttSamples {
		h.judge()
	}
	return false
}

// judge compares the round trips of this round with those before it.
func (h *hystart) judge() {
	switch h.phase {
	case slowStart:
		if h.last == 0 {
			return
		}
		thresh := max(minRTTThresh, min(h.last/minRTTDivisor, maxRTTThresh))
		if h.current >= h.last+thresh {
			h.baseline, h.rounds, h.phase = h.current, 0, conservativeSlowStart
		}
	case conservativeSlowStart:
		if h.current < h.baseline {
			// The delay was a passing one: slow start resumes.
			h.baseline, h.phase = 0, slowStart
		}
	}
}

// growth is what n octets acknowledged in slow start are worth.
func (h *hystart) growth(n int) int {
	if h.phase == conservativeSlowStart {
		return max(n/cssGrowthDivisor, 1)
	}
	return n
}
