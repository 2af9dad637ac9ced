package splice

import (
	"net/netip"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

const (
	// corpseLife is how long a flow with a leg that has vanished, or that has
	// no partner, is kept after the last segment of either peer: longer than
	// anybody goes on sending again (RFC 9293, R2) what is not answered.
	corpseLife = 20 * time.Minute
	// crossPatience is how long a peer's FIN is kept so that ours crosses it.
	crossPatience = 20 * time.Second
)

// begin carries out fault i of a flow's rule.
func (s *Shard) begin(now endpoint.Time, f *flow, i int) {
	flt := &f.by.Faults[i]
	l := endpoint.Leg(flt.Leg)
	leg := &f.legs[l]
	targets := targetsOf(flt)
	if f.by.Stopped() || f.phase == lingering || !(targets[0] && f.legs[0].there() || targets[1] && f.legs[1].there()) {
		return // nobody is there to whom it could be done
	}
	s.markDirty(f)
	switch flt.Do {
	case rules.ResetLeg, rules.AcceptThenDie:
		s.fired(now, f, i, 0, 0)
		s.resetByRule(now, f, i, targets)
	case rules.SendFIN:
		if leg.finPassed {
			return
		}
		s.fired(now, f, i, 0, 0)
		f.endedByRule(i)
		leg.finPassed, leg.cut = true, true
		f.dropPipeline(l)
		leg.ep.CloseWrite(now)
	case rules.Vanish:
		s.fired(now, f, i, 0, 0)
		f.endedByRule(i)
		s.vanish(now, f, l)
	case rules.Stall, rules.Dribble, rules.WithholdACKs, rules.StretchACKs:
		s.fired(now, f, i, flt.By, max(flt.Size, flt.N))
		f.acts.active[i] = true
		if flt.By > 0 {
			f.acts.pending = append(f.acts.pending, act{at: now.Add(flt.By), fault: i, ends: true})
		}
		s.retune(now, f, l)
	case rules.DuplicateACKs:
		s.fired(now, f, i, 0, flt.N)
		leg.ep.RepeatACK(now, flt.N)
	case rules.ICMP:
		s.fired(now, f, i, 0, 0)
		s.reportUnreachable(leg, l, flt)
	}
}

// targetsOf are the legs that something is done to: that of the fault, but for
// a reset.
func targetsOf(flt *rules.Fault) [2]bool {
	switch {
	case flt.Do == rules.ResetLeg && flt.Legs != [2]bool{}:
		return flt.Legs
	case flt.Do == rules.ResetLeg, flt.Do == rules.AcceptThenDie:
		return [2]bool{true, true}
	}
	return [2]bool{flt.Leg == rules.Client, flt.Leg == rules.Server}
}

// there tells that the leg's endpoint can still do something.
func (l *leg) there() bool { return l.ep != nil && !l.done() }

// endedByRule notes which fault ends the connection.
func (f *flow) endedByRule(i int) {
	if f.acts.endedBy == 0 {
		f.acts.endedBy = i + 1
	}
	f.closed("tcpmitm", ByRule)
}

// endedBy is the fault that ended the connection, in words.
func (f *flow) endedBy() string {
	if f.acts == nil || f.acts.endedBy == 0 {
		return ""
	}
	return f.moments.texts[f.acts.endedBy-1]
}

// resetByRule sends RST to some of the legs. The other leg, if it is not
// meant, is not told: its peer talks to nobody.
func (s *Shard) resetByRule(now endpoint.Time, f *flow, i int, legs [2]bool) {
	f.endedByRule(i)
	f.acts.adrift = true // or the other leg would be reset, too
	for k, is := range legs {
		if !is {
			continue
		}
		if l := endpoint.Leg(k); l == endpoint.Client && f.syn != nil {
			s.refuse(now, f)
			f.ended(l)
		} else {
			s.abort(now, f, l)
		}
	}
	if legs[0] && legs[1] {
		f.acts.adrift = false
		return
	}
	s.setAdrift(now, f)
}

// vanish lets a leg neither send nor answer any more. The other leg goes on,
// and fills what buffers there are; whatever the leg's peer sends from now on
// is taken and thrown away.
func (s *Shard) vanish(now endpoint.Time, f *flow, l endpoint.Leg) {
	leg := &f.legs[l]
	if leg.vanished || leg.ep == nil || leg.done() {
		return
	}
	if f.acts == nil {
		f.acts = newActs(f.moments)
	}
	f.closed("tcpmitm", ByRule)
	f.ended(l)
	leg.note()
	leg.vanished = true
	s.setAdrift(now, f)
}

// setAdrift begins the time after which a flow is given up that lacks a leg.
func (s *Shard) setAdrift(now endpoint.Time, f *flow) {
	f.acts.adrift = true
	f.acts.until = now.Add(corpseLife)
	for l := range f.legs {
		if f.legs[l].done() {
			f.dropPipeline(endpoint.Leg(l)) // nothing will ever take what comes through
		}
	}
	s.markDirty(f)
}

// noticeLonely begins that time for a peer whose partner was closed by a FIN of
// the rule's, and is gone since: it was told of nothing, and need never close.
func (s *Shard) noticeLonely(now endpoint.Time, f *flow) {
	if f.phase == lingering || f.acts.until != endpoint.Never {
		return
	}
	for l := range f.legs {
		if f.legs[l].cut && f.legs[l].done() && !f.legs[1-l].done() {
			f.acts.until = now.Add(corpseLife)
		}
	}
}

// heardAdrift notes that a peer of a flow that lacks a leg still speaks, and
// tells whether it speaks to a leg that has vanished.
func (s *Shard) heardAdrift(now endpoint.Time, f *flow, l endpoint.Leg) bool {
	if f.acts.until != endpoint.Never {
		f.acts.until = now.Add(corpseLife)
		s.markDirty(f)
	}
	if !f.legs[l].vanished {
		return false
	}
	s.drop(endpoint.ReasonVanished)
	return true
}

// strand gives up a flow that lacks a leg, after a long silence.
func (s *Shard) strand(now endpoint.Time, f *flow) {
	f.acts.until = endpoint.Never
	for l := range f.legs {
		if leg := &f.legs[l]; leg.vanished {
			leg.release()
		} else {
			s.abort(now, f, endpoint.Leg(l))
		}
	}
	s.markDirty(f)
}

// retune tells a leg's endpoint what the faults that last make of it: where
// several do the same, the strictest holds.
func (s *Shard) retune(now endpoint.Time, f *flow, l endpoint.Leg) {
	leg := &f.legs[l]
	if leg.ep == nil || leg.vanished || leg.done() {
		return
	}
	var t endpoint.Tuning
	limit := func(n int) {
		if !t.Limited || n < t.Window {
			t.Limited, t.Window = true, n
		}
	}
	for i, on := range f.acts.active {
		flt := &f.by.Faults[i]
		if !on || endpoint.Leg(flt.Leg) != l {
			continue
		}
		switch flt.Do {
		case rules.Stall:
			limit(0)
		case rules.Dribble:
			limit(flt.Size)
		case rules.WithholdACKs:
			t.WithholdACKs = true
		case rules.StretchACKs:
			t.StretchACKs = max(t.StretchACKs, flt.N)
		}
	}
	t.DeferFIN = f.by.SimultaneousClose && !f.by.Stopped() && !(leg.peerClosed && f.acts.crossing[l] == endpoint.Never)
	if t == (endpoint.Tuning{}) && !f.acts.tuned[l] {
		return
	}
	f.acts.tuned[l] = true
	leg.ep.Tune(now, t)
	s.markDirty(f)
}

// cross keeps the FIN of a leg's peer, of which the other leg's peer is told
// at once, until our own FIN has left to cross it.
func (s *Shard) cross(now endpoint.Time, f *flow, l endpoint.Leg) {
	f.legs[l].peerClosed = true
	f.closed(l.String(), ByFIN)
	f.acts.crossing[l] = now.Add(crossPatience)
}

// reportUnreachable tells a leg's peer by ICMP that its segments do not get
// through, about the next one that we expect: that number is outstanding, or
// next to be sent, so that the peer believes it (RFC 5927, 4).
func (s *Shard) reportUnreachable(leg *leg, l endpoint.Leg, flt *rules.Fault) {
	in := leg.in()
	e := unreachableBy(&in, flt)
	seg := endpoint.Segment{Seq: leg.ep.Info().RcvNxt, Flags: endpoint.ACK}
	s.sent(s.dev.SendUnreachable(l, leg.header, &e, &in, &seg))
}

// unreachableBy is the ICMP error that a fault makes about what in's sender
// sends, in the name of in's receiver.
func unreachableBy(in *endpoint.Tuple, flt *rules.Fault) endpoint.ICMPError {
	typ, code := uint8(icmpUnreachable), flt.Code
	if !in.IsIPv4() {
		typ, code = icmpv6Unreachable, codeForIPv6(code)
	}
	return endpoint.ICMPError{
		From: netip.AddrFrom16(in.Dst).Unmap(), To: netip.AddrFrom16(in.Src).Unmap(),
		Type: typ, Code: code,
	}
}

// codeForIPv6 is what RFC 4443, 3.1 has for a code of RFC 792 and 1812: the
// configuration speaks of the latter.
func codeForIPv6(code uint8) uint8 {
	switch code {
	case 0:
		return 0 // no route to the destination
	case 1:
		return 3 // address unreachable
	case 2, 3:
		return 4 // port unreachable
	case 9, 10, 13:
		return 1 // administratively prohibited
	}
	return 3
}
