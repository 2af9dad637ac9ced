package splice

import (
	"tcpmitm/endpoint"
)

// maxWaiting bounds the connections of which nothing is left but TIME-WAIT;
// beyond it the oldest is forgotten.
const maxWaiting = 1 << 16

// waiting is what remains of a connection while a leg of it is in TIME-WAIT:
// enough to answer its peers, in a fraction of a flow's memory.
type waiting struct {
	id      uint64
	rule    string
	opened  endpoint.Time
	legs    [2]waitingLeg
	timer   timer
	written [2]uint64

	links[waiting]
}

// waitingLeg is one leg of it. One that is CLOSED answers nothing; a RST now
// could cut the peer's TIME-WAIT short (RFC 1337).
type waitingLeg struct {
	tw       endpoint.TimeWaitRecord
	on       bool           // in TIME-WAIT
	out      endpoint.Tuple // of what we send
	header   Header
	iss, irs endpoint.Seq
	last     endpoint.State
	scaleIn  uint8
	scaleOut uint8
}

// in is the tuple of what the peer sends.
func (l *waitingLeg) in() endpoint.Tuple { return l.out.Reverse() }

func (l *waitingLeg) state() endpoint.State {
	if l.on {
		return endpoint.TimeWait
	}
	return endpoint.Closed
}

// waitingRef is what the table holds.
type waitingRef struct {
	waiting *waiting
	leg     endpoint.Leg
}

// waitingList is a shard's, oldest first, and the table to find them by.
type waitingList struct {
	chain[waiting, *waiting]
	of map[endpoint.Tuple]waitingRef
}

// rest makes of a flow whose legs are in TIME-WAIT, or CLOSED, the record of
// that, and tells whether it could. Where a rule does something to segments,
// the flow stays: the rule is for the last ones, too.
func (s *Shard) rest(f *flow) bool {
	if f.dirty || f.deadline != endpoint.Never || !f.plain() {
		return false
	}
	w := &waiting{id: f.id, rule: f.profile.rule, opened: f.opened}
	for l := range f.legs {
		leg := &f.legs[l]
		w.legs[l] = waitingLeg{
			out: leg.out, header: leg.header, iss: leg.iss, irs: leg.irs,
			last: leg.last, scaleIn: leg.scaleIn, scaleOut: leg.scaleOut,
		}
		w.written[l] = leg.delivered()
		if leg.state() != endpoint.TimeWait {
			continue
		}
		tw, ok := leg.ep.TimeWaitRecord()
		if !ok {
			return false
		}
		w.legs[l].tw, w.legs[l].on = tw, true
	}
	s.remove(f)
	s.keepWaiting(w)
	return true
}

func (s *Shard) keepWaiting(w *waiting) {
	list := &s.waiting
	if list.of == nil {
		list.of = make(map[endpoint.Tuple]waitingRef)
	}
	if list.count >= maxWaiting {
		s.forget(list.first)
	}
	for l := range w.legs {
		list.of[w.legs[l].in()] = waitingRef{w, endpoint.Leg(l)}
	}
	list.add(w)
	s.charge(waitingOctets)
	s.tallyWaiting(w, 1)
	w.timer.owner = w
	s.wheel.set(&w.timer, w.nextTimeout())
}

// nextTimeout is when the first TIME-WAIT ends.
func (w *waiting) nextTimeout() endpoint.Time {
	at := endpoint.Never
	for l := range w.legs {
		if w.legs[l].on {
			at = min(at, w.legs[l].tw.NextTimeout())
		}
	}
	return at
}

// forget removes a record.
func (s *Shard) forget(w *waiting) {
	list := &s.waiting
	s.charge(-waitingOctets)
	s.wheel.stop(&w.timer)
	for l := range w.legs {
		if in := w.legs[l].in(); list.of[in].waiting == w {
			delete(list.of, in)
		}
	}
	list.remove(w)
	s.tallyWaiting(w, -1)
}

// timeout ends the TIME-WAITs that are over, and the record with the last.
func (w *waiting) timeout(now endpoint.Time, s *Shard) {
	s.tallyWaiting(w, -1)
	for l := range w.legs {
		if leg := &w.legs[l]; leg.on && leg.tw.NextTimeout() <= now {
			leg.on = false
		}
	}
	s.tallyWaiting(w, 1)
	if !w.legs[0].on && !w.legs[1].on {
		s.forget(w)
		return
	}
	s.wheel.set(&w.timer, w.nextTimeout())
}

// handleWaiting judges a packet of a connection that is in TIME-WAIT, and
// answers it at once.
func (s *Shard) handleWaiting(now endpoint.Time, w *waiting, l endpoint.Leg, seg *endpoint.Segment) {
	leg := &w.legs[l]
	s.counters.SegmentsIn[l]++
	why := endpoint.ReasonAfterClose
	before := leg.state()
	if leg.on {
		why = leg.tw.HandleSegment(now, seg)
	}
	s.drop(why)
	s.sniffWaiting(now, w, l, false, seg)
	s.observeWaiting(now, w, l, false, seg, before, why)
	for leg.on && leg.tw.PollSegment(now, &s.reply) {
		s.emit(l, &leg.out, leg.header, &s.reply)
		s.sniffWaiting(now, w, l, true, &s.reply)
		s.observeWaiting(now, w, l, true, &s.reply, before, endpoint.ReasonNone)
	}
	s.wheel.set(&w.timer, w.nextTimeout())
}

// takeOver tells whether a client's SYN begins a new connection where an old
// one is in TIME-WAIT, which is forgotten then. after is where the sequence
// numbers towards the server have to begin at least.
func (s *Shard) takeOver(w *waiting, seg *endpoint.Segment) (after *endpoint.Seq, ok bool) {
	if c := &w.legs[endpoint.Client]; c.on && !c.tw.Accepts(seg) {
		return nil, false
	}
	v := &w.legs[endpoint.Server]
	end := v.iss + 1 + endpoint.Seq(w.written[endpoint.Server]) + 1
	s.forget(w)
	return &end, true
}

func (s *Shard) observeWaiting(now endpoint.Time, w *waiting, l endpoint.Leg, out bool, seg *endpoint.Segment,
	state endpoint.State, why endpoint.Reason) {
	if s.segments == nil {
		return
	}
	leg, c := &w.legs[l], &w.legs[endpoint.Client]
	e := &s.event
	*e = SegmentEvent{
		At: now, Conn: w.id, Client: c.out.Destination(), Server: c.out.Source(), Rule: w.rule,
		Leg: l, Out: out, Seq: seg.Seq, Ack: seg.Ack, ISS: leg.iss, IRS: leg.irs,
		Flags: seg.Flags, Window: seg.Window, Options: seg.Options, Len: seg.PayloadLen(),
		Before: state, After: state, Reason: why, Segment: seg,
	}
	switch {
	case seg.Flags.Has(endpoint.SYN):
	case out:
		e.Scale = leg.scaleOut
	default:
		e.Scale = leg.scaleIn
	}
	s.segments.Segment(e)
	e.Segment = nil
}

func (w *waiting) status(now endpoint.Time) Connection {
	c := Connection{
		Conn:      w.id,
		Client:    w.legs[endpoint.Client].out.Destination(),
		Server:    w.legs[endpoint.Client].out.Source(),
		Target:    w.legs[endpoint.Server].out.Destination(),
		Rule:      w.rule,
		Age:       now.Sub(w.opened),
		Lingering: true,
	}
	for l := range w.legs {
		leg := &w.legs[l]
		c.Legs[l] = LegStatus{State: leg.state(), Delivered: w.written[l], ISS: leg.iss, IRS: leg.irs}
	}
	return c
}

// plain tells that no rule does anything to the flow's segments.
func (f *flow) plain() bool {
	return f.stage == nil && f.acts == nil
}
