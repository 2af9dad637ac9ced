package stream

import (
	"math"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// How a throttle divides time. Timers have a resolution of about one
// millisecond: a bucket of burstTime lets none of the rate be lost by that.
const (
	pieceTime = 10 * time.Millisecond // a piece is as long as that
	burstTime = 5 * time.Millisecond  // and a bucket deeper than a piece by that
	// A slow stream has pieces of up to slowPiece octets, if that makes none
	// longer than slowTime; a fast one has none above maxPiece.
	slowPiece = 512
	slowTime  = 250 * time.Millisecond
	maxPiece  = 64 << 10
	// catchUp is by how much a wake-up may be late without loss to the rate.
	catchUp = 100 * time.Millisecond
	// maxPaid bounds what is paid for at once, in octets: a product of it and
	// perSecond fits in 64 bits.
	maxPaid = 1 << 20
	// perSecond is the unit of the rate: thousandths of an octet, of the time
	// nanoseconds.
	perSecond = 1000 * uint64(time.Second)
)

// throttle is a token bucket that is kept as a time: when it will be full
// again. Every octet moves that on by what it costs.
type throttle struct {
	rate  uint64 // thousandths of an octet in a second
	depth time.Duration
	piece int

	full   endpoint.Time // when the bucket is full
	due    endpoint.Time // when it wanted to be run, while it waits for credit; else 0
	stuck  endpoint.Time // when the queue behind was full last; else 0
	floor  endpoint.Time // full is not before it: now, or due if that is past
	rest   uint64        // what rounding has left of the cost so far, below rate
	passed uint64
	report reporter
}

func newThrottle(r *rules.Policy) maker {
	if !(r.Rate > 0) {
		return nil
	}
	t := throttle{rate: uint64(min(max(r.Rate*1000, 1), 1e15))}
	worth := func(d time.Duration) int { return int(min(r.Rate*d.Seconds(), 1<<40)) }
	t.piece = max(worth(pieceTime), min(slowPiece, worth(slowTime)), 1)
	t.piece = min(t.piece, maxPiece)
	depth := max(r.Burst, t.piece+max(worth(burstTime), 1))
	t.depth = time.Duration(min(math.Ceil(float64(depth)/r.Rate*1e9), math.MaxInt64/4))
	return func(p *Pipeline) stage {
		s := t
		s.report = p.reporter()
		return &s
	}
}

// cost is how long n octets take; n is at most maxPaid.
func (s *throttle) cost(n int) time.Duration {
	return time.Duration((uint64(n)*perSecond + s.rest) / s.rate)
}

// pay takes n octets out of the bucket.
func (s *throttle) pay(n int) {
	d := s.cost(n)
	s.rest = (uint64(n)*perSecond + s.rest) % s.rate
	s.full = max(s.full, s.floor).Add(d)
}

// credit is how many octets may pass now, at most maxPaid.
func (s *throttle) credit(now endpoint.Time) int {
	spare := s.depth + now.Sub(max(s.full, s.floor))
	if spare <= 0 {
		return 0
	}
	// In floating point, for the product may need more than 64 bits; that it
	// is a little off does not add up, because pay is exact.
	return int(min(float64(spare)*float64(s.rate)/float64(perSecond), maxPaid))
}

func (s *throttle) run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time {
	// A bucket that is full takes in no more. But what it would have taken
	// in since it asked to be run is not its fault.
	if s.stuck != 0 && s.stuck < now {
		s.due = 0
	}
	s.floor, s.stuck = now, 0
	if s.due != 0 && s.due < now {
		s.floor = max(s.due, now.Add(-catchUp))
	}
	for !in.empty() && !out.full() {
		want := min(s.piece, in.octets)
		credit := s.credit(now)
		if credit < want {
			s.report.tellOnce(p, s.passed, 0)
			// Two nanoseconds later, because cost and credit round down.
			s.due = max(s.full, s.floor).Add(s.cost(want)-s.depth) + 2
			return s.due
		}
		for credit > 0 && !in.empty() && !out.full() {
			it := in.take(credit)
			n := len(it.chunk.Data)
			credit -= n
			s.passed += uint64(n)
			s.pay(n)
			out.push(it)
		}
	}
	if out.full() {
		// What the receiver is late by is not made up for.
		s.stuck, s.due = now, s.floor
	} else {
		s.due = 0
	}
	if in.finished() {
		out.end(in.ending)
	}
	return endpoint.Never
}
