package endpoint

import "time"

// A challenge ACK may leave challengeBurst times in challengePeriod
// (RFC 5961, section 7), so that nobody can make two endpoints answer each
// other for ever.
const (
	challengeBurst  = 10
	challengePeriod = 5 * time.Second
)

type challengeLimit struct {
	since Time
	sent  uint8
}

func (l *challengeLimit) allow(now Time) bool {
	if l.sent == 0 || now.Sub(l.since) >= challengePeriod {
		l.since, l.sent = now, 0
	}
	if l.sent >= challengeBurst {
		return false
	}
	l.sent++
	return true
}

// challenge owes the sender of a suspicious segment an ACK that tells it
// where we really are: <SEQ=SND.NXT><ACK=RCV.NXT> (RFC 5961, 3.2, 4.2, 5.2).
func (e *Endpoint) challenge(now Time) {
	if e.limit.allow(now) {
		e.due |= dueChallenge
	}
}

// duplicateACK answers a segment outside of the window. One with text or FIN
// is a retransmission and must be answered each time; a bare one is limited,
// for its answer could be answered in turn.
func (e *Endpoint) duplicateACK(now Time, s *Segment) {
	if s.PayloadLen() == 0 && !s.Flags.Has(FIN) {
		// A keep-alive probe has no text, and one a second is no storm.
		e.challenge(now)
		return
	}
	e.ackNow(now)
}
