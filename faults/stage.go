package faults

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Host is who a Stage works for. Its methods are called during Handle,
// Release and Reach. Pass may call Handle and Reach itself, for what follows
// from the segment; Fired may not call the Stage.
type Host interface {
	// Pass takes a segment that has come through the stage: one that leaves is
	// to be sent with head, one that arrives is for the leg's endpoint. Note
	// says what a fault did to it, and is empty if none did anything. The
	// segment is valid during the call, as with endpoint.HandleSegment and
	// endpoint.PollSegment.
	Pass(now endpoint.Time, l endpoint.Leg, out bool, seg *endpoint.Segment, head endpoint.IPHeader, note string)
	// Fired tells of a fault that acts, before anything comes of it.
	Fired(now endpoint.Time, e *Event)
}

// Event is one fault that acts on a segment. It is valid during the call.
type Event struct {
	Fault *rules.Fault
	Index int // of the fault in its rule
	Text  string
	Leg   endpoint.Leg
	Out   bool
	// By is for how long a segment is delayed; N is how many copies, how many
	// parts, behind how many segments, or which bit, as the fault has it.
	By  time.Duration
	N   int
	Seg *endpoint.Segment // as the fault found it
}

// Stage is what a Program has done to one connection so far. It belongs to one
// goroutine, that of its Wire.
type Stage struct {
	p           *Program
	w           *Wire
	ordinal     uint64
	sides       [2][2]side // by leg and direction
	established [2]endpoint.Time
	moments     [2]uint16 // that each leg has come to
	counts      []tally   // by the faults of the program
	held        []*held   // a heap, see held.go
	serial      uint64    // of what was held last
	octets      int       // in held
	over        bool      // Finish was called
}

// tally is what one fault has done so far.
type tally struct {
	Count
	holding int  // segments that it holds
	done    bool // of a fault that acts once
}

// NewStage makes the stage of one connection; ordinal is its number among
// those of the rule, on which all draws depend. It is nil for a nil Program.
func NewStage(p *Program, w *Wire, ordinal uint64) *Stage {
	if p == nil {
		return nil
	}
	return &Stage{
		p: p, w: w, ordinal: ordinal, counts: make([]tally, len(p.faults)),
		established: [2]endpoint.Time{endpoint.Never, endpoint.Never},
	}
}

// Synchronize tells the stage of a handshake that it has not seen (a SYN
// cookie): the numbers of our SYN and the peer's on a leg.
func (s *Stage) Synchronize(l endpoint.Leg, iss, irs endpoint.Seq, ours, theirs *endpoint.Options) {
	d := &s.sides[l][direction(true)]
	d.begin(iss, ours)
	d.synACKs = 1
	s.sides[l][direction(false)].begin(irs, theirs)
}

// trip is one segment on its way past the faults.
type trip struct {
	seg      *endpoint.Segment
	head     endpoint.IPHeader
	leg      endpoint.Leg
	out      bool
	again    bool // a retransmission
	kinds    kinds
	from, to uint64 // positions of its octets
	copies   int    // beside the original
	note     string
}

// Handle takes a segment that leaves, with head, or arrives. What comes of it
// now is passed to host before Handle returns.
func (s *Stage) Handle(now endpoint.Time, l endpoint.Leg, out bool, seg *endpoint.Segment, head endpoint.IPHeader, host Host) {
	d, back := &s.sides[l][direction(out)], &s.sides[l][direction(!out)]
	n := seg.PayloadLen()
	opener := (l == endpoint.Server) == out
	k := d.kindsOf(seg, n, back, opener)
	mine := s.p.on[l][direction(out)]&k != 0 && !s.p.rule.Stopped()
	size := wireSize(seg, out, back)
	t := trip{seg: seg, head: head, leg: l, out: out, kinds: k}
	switch {
	case n <= size || seg.Flags.Has(endpoint.SYN) || !mine && d.behind == 0:
		s.place(&t, d, n)
		d.see(seg, back, out)
		if mine {
			s.run(now, &t, 0, host)
		} else {
			s.pass(now, &t, host)
		}
	default:
		s.handleLong(now, &t, n, size, opener, mine, host)
	}
}

// place fills in where a segment stands in its stream.
func (s *Stage) place(t *trip, d *side, n int) {
	t.again = d.again(t.seg)
	t.from = d.position(t.seg.Seq)
	t.to = t.from + uint64(n)
}

// handleLong cuts a super-segment into what the wire would carry. Runs of
// segments that no fault acts on are passed on uncut.
func (s *Stage) handleLong(now endpoint.Time, whole *trip, n, size int, opener, mine bool, host Host) {
	d, back := &s.sides[whole.leg][direction(whole.out)], &s.sides[whole.leg][direction(!whole.out)]
	w, seg := s.w, whole.seg
	mark := len(w.pieces)
	p, run := w.borrow(), w.borrow()
	from := 0 // the first octet not passed on
	flush := func(to int) {
		if to > from {
			w.part(run, seg, from, to, n, size)
			t := *whole
			t.seg = run
			s.pass(now, &t, host)
		}
	}
	for at := 0; at < n; at += size {
		end := min(at+size, n)
		w.part(p, seg, at, end, n, size)
		t := *whole
		t.seg, t.kinds = p, d.kindsOf(p, end-at, back, opener)
		s.place(&t, d, end-at)
		d.see(p, back, whole.out)
		i := len(s.p.faults)
		if mine {
			i = s.firing(now, &t, 0)
		}
		switch {
		case i < len(s.p.faults):
			flush(at)
			s.act(now, &t, i, host)
			from = end
		case d.behind > 0:
			// Who waits for this one must be able to follow it.
			flush(at)
			s.pass(now, &t, host)
			from = end
		}
		if from == end {
			w.pieces = w.pieces[:mark]
		}
	}
	flush(n)
	w.pieces = w.pieces[:mark]
	w.giveBack(2)
}

// firing finds the first fault from i on that acts on a segment.
func (s *Stage) firing(now endpoint.Time, t *trip, i int) int {
	for ; i < len(s.p.faults); i++ {
		f, c := &s.p.faults[i], &s.counts[i]
		if !s.candidate(f, now, t) || c.done {
			continue
		}
		if f.once && c.holding > 0 {
			break // it is the same one, sent again: see act
		}
		if c.Choose(&f.Which, s.p.rule.Seed, s.ordinal, f.index) && !(f.Do == rules.Reorder && c.holding > 0) {
			break
		}
	}
	return i
}

// run takes a segment past the faults from i on.
func (s *Stage) run(now endpoint.Time, t *trip, i int, host Host) {
	if i = s.firing(now, t, i); i < len(s.p.faults) {
		s.act(now, t, i, host)
	} else {
		s.pass(now, t, host)
	}
}

// pass hands a segment on to the host, and after it those that waited for it.
func (s *Stage) pass(now endpoint.Time, t *trip, host Host) {
	for range t.copies + 1 {
		host.Pass(now, t.leg, t.out, t.seg, t.head, t.note)
	}
	if d := &s.sides[t.leg][direction(t.out)]; d.behind > 0 {
		s.overtaken(now, t.leg, t.out, host)
	}
}

// Reach tells the stage that a leg has come to a moment. What was held until
// then comes out.
func (s *Stage) Reach(now endpoint.Time, l endpoint.Leg, moment rules.On, host Host) {
	if !moment.Moment() || s.reached(l, moment) {
		return
	}
	s.moments[l] |= 1 << (moment - rules.Established)
	if moment == rules.Established {
		s.established[l] = now
	}
	for _, h := range s.held {
		if h.waits && h.leg == l && h.until == moment {
			h.waits, h.due = false, now
		}
	}
	s.heapify()
	s.Release(now, host)
}

// reached tells whether a leg has come to a moment.
func (s *Stage) reached(l endpoint.Leg, moment rules.On) bool {
	return moment.Moment() && s.moments[l]&(1<<(moment-rules.Established)) != 0
}
