package faults

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// reorderPatience is how long a segment that is to follow others waits for
// them at most.
const reorderPatience = 100 * time.Millisecond

// LongestHold is how long a segment is held for a moment that does not come.
const LongestHold = time.Hour

// act lets fault i act on a segment, and the later ones on what it leaves.
func (s *Stage) act(now endpoint.Time, t *trip, i int, host Host) {
	f, c := &s.p.faults[i], &s.counts[i]
	switch f.Do {
	case rules.Lose:
		s.fired(now, f, t, 0, 0, host)
		return
	case rules.Delay, rules.Hold, rules.Reorder:
		if f.once && c.holding > 0 {
			return // the one that is held stands for all
		}
		if s.takeAway(now, t, i, host) {
			return
		}
	case rules.Duplicate:
		s.fired(now, f, t, 0, f.Copies, host)
		t.copies = min(t.copies+f.Copies, maxCopies)
	case rules.Corrupt:
		bit := s.bit(f, c, t)
		s.fired(now, f, t, 0, int(bit), host)
		if !t.out {
			return // a wrong checksum is all that would be seen of it
		}
		t.head.Corrupt = bit
	case rules.Split:
		s.split(now, t, i, host)
		return
	case rules.Rewrite:
		s.fired(now, f, t, 0, 0, host)
		s.rewrite(now, t, i, host)
		return
	}
	if f.Do == rules.Duplicate || f.Do == rules.Corrupt {
		t.note = f.note
	}
	s.run(now, t, i+1, host)
}

// maxCopies bounds what all duplicate faults together make of one segment.
const maxCopies = 100

// takeAway holds a segment back, if there is room for it.
func (s *Stage) takeAway(now endpoint.Time, t *trip, i int, host Host) bool {
	f, c := &s.p.faults[i], &s.counts[i]
	due, by, n := endpoint.Never, time.Duration(0), 0
	switch f.Do {
	case rules.Delay:
		by = f.By
		if f.Jitter > 0 {
			by = jittered(by, f.Jitter, rules.Draw(s.p.rule.Seed, s.ordinal, uint64(f.index), c.left, saltJitter))
		}
		due = now.Add(by)
	case rules.Hold:
		due = now.Add(LongestHold)
	case rules.Reorder:
		due, n = now.Add(reorderPatience), f.Behind
	}
	if s.over && (!t.out || f.Do == rules.Hold) {
		return false // nobody would take it, or the moment never comes
	}
	if !s.w.room(s, t.seg.PayloadLen()) {
		s.w.Full++
		return false
	}
	s.fired(now, f, t, by, n, host)
	t.note = f.note
	h := s.hold(t, due, i)
	h.until, h.waits = f.Until, f.Do == rules.Hold
	if f.Do == rules.Reorder {
		h.behind = max(f.Behind, 1)
		s.sides[t.leg][direction(t.out)].behind++
	}
	return true
}

// The octets of which a bit may be wrong: of the fixed header all but the
// ports, by which the segment is still that of its connection, and the one
// that says where the payload begins; and the payload. The options are spared.
const (
	firstBit     = 4 * 8
	dataOffset   = 12
	spareBits    = 8
	bitsOfHeader = endpoint.HeaderLen*8 - firstBit - spareBits
)

// bit draws which bit is to be wrong, as endpoint.IPHeader.Corrupt has it.
func (s *Stage) bit(f *fault, c *tally, t *trip) uint32 {
	n := uint64(bitsOfHeader + 8*t.seg.PayloadLen())
	at := firstBit + rules.Bits(s.p.rule.Seed, s.ordinal, uint64(f.index), c.left, saltBit)%n
	if at >= dataOffset*8 {
		at += spareBits
	}
	return uint32(at) + 1
}

// split makes a segment several, each of which goes on alone.
func (s *Stage) split(now endpoint.Time, t *trip, i int, host Host) {
	f, w, n := &s.p.faults[i], s.w, t.seg.PayloadLen()
	s.fired(now, f, t, 0, (n+f.Size-1)/f.Size, host)
	p := w.borrow()
	var u trip
	for at := 0; at < n; at += f.Size {
		end := min(at+f.Size, n)
		mark := len(w.pieces)
		w.part(p, t.seg, at, end, n, f.Size)
		u = *t
		u.seg, u.note = p, f.note
		u.from, u.to = t.from+uint64(at), t.from+uint64(end)
		if end < n {
			u.kinds &^= kind(rules.FIN)
		}
		s.run(now, &u, i+1, host)
		w.pieces = w.pieces[:mark]
	}
	w.giveBack(1)
}

// rewrite writes the fields of the header that the fault names.
func (s *Stage) rewrite(now endpoint.Time, t *trip, i int, host Host) {
	f := &s.p.faults[i]
	p := s.w.borrow()
	*p = *t.seg
	u := *t
	u.seg, u.note = p, f.note
	h := &f.Header
	if h.Window.Set {
		p.Window = h.Window.Value
	}
	if h.Urgent.Set {
		p.Urgent = h.Urgent.Value
	}
	if h.Flags.Set {
		p.Flags = endpoint.Flags(h.Flags.Value)
	}
	if h.TTL.Set {
		u.head.TTL = h.TTL.Value
	}
	if h.DSCP.Set {
		u.head.DSCP = h.DSCP.Value
	}
	s.run(now, &u, i+1, host)
	s.w.giveBack(1)
}

// fired tells the host, and the rule, that a fault acts.
func (s *Stage) fired(now endpoint.Time, f *fault, t *trip, by time.Duration, n int, host Host) {
	s.p.rule.Fire(f.index)
	e := &s.w.event
	*e = Event{Fault: f.Fault, Index: f.index, Text: f.text, Leg: t.leg, Out: t.out, By: by, N: n, Seg: t.seg}
	host.Fired(now, e)
	e.Seg = nil
}
