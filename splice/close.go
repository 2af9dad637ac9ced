package splice

import (
	"slices"
	"time"

	"tcpmitm/endpoint"
)

// resetLinger is how long a flow that was ended by a RST is remembered, so
// that a peer that has not got it gets another and not the other side's
// kernel.
const resetLinger = 10 * time.Second

// closed notes who closed first and how; what comes later follows from it.
func (f *flow) closed(who string, how How) {
	if f.firstClose == "" {
		f.firstClose, f.how = who, how
	}
	if f.cause == 0 {
		f.cause = letterOf(who, how)
	}
}

// abort ends a leg by a RST, if its peer is still there.
func (s *Shard) abort(now endpoint.Time, f *flow, l endpoint.Leg) {
	leg := &f.legs[l]
	if l == endpoint.Client {
		f.syn = nil
	}
	if leg.ep == nil || leg.done() {
		return
	}
	leg.note()
	f.ended(l)
	leg.ep.Abort(now)
	leg.aborted = true
	s.markDirty(f)
}

// bereave ends a leg the other one of which has been reset or has fallen
// silent: by a RST, for what this peer has sent may never have arrived. If
// the other peer had closed before, its stream is complete, and this one gets
// all of it first. What this one still sends meanwhile is taken and thrown
// away, or a peer that writes before it reads would never come to read.
func (s *Shard) bereave(now endpoint.Time, f *flow, l endpoint.Leg) {
	leg, other := &f.legs[l], &f.legs[l.Other()]
	if f.phase != relaying || !other.peerClosed || leg.ep == nil || leg.done() || !leg.ep.WithholdFIN() {
		s.abort(now, f, l)
		return
	}
	leg.doomed = true
	f.dropPipeline(l.Other())
	f.ended(l)
	s.markDirty(f)
}

// endDoomed resets a peer that has got all of a stream whose sender is gone.
func (s *Shard) endDoomed(now endpoint.Time, f *flow) {
	for l := range f.legs {
		if leg := &f.legs[l]; leg.doomed && leg.finPassed && leg.delivered() == leg.written {
			s.abort(now, f, endpoint.Leg(l))
		}
	}
}

// ownTimeout carries out the flow's own deadline.
func (s *Shard) ownTimeout(now endpoint.Time, f *flow) {
	switch {
	case f.phase == lingering:
		f.legs[0].aborted, f.legs[1].aborted = false, false
	case f.phase == relaying:
		s.lookIdle(now, f)
	case s.handshakeOver(now, f):
	case f.syn == nil && f.phase != knocking:
	case now < f.lastSYN.Add(synPatience):
		f.deadline = s.handshakeDeadline(f, f.lastSYN.Add(synPatience))
	default:
		// Nobody waits for the server's answer any more.
		f.closed("client", ByTimeout)
		f.phase = dialling
		f.syn = nil
		s.abort(now, f, endpoint.Server)
	}
}

// conclude ends a connection of which nothing is left but TIME-WAIT: it is
// reported, gives its place back, and lingers.
func (s *Shard) conclude(now endpoint.Time, f *flow) {
	s.finish(now, f)
	if f.legs[0].aborted || f.legs[1].aborted {
		f.deadline = now.Add(resetLinger)
	} else {
		f.deadline = endpoint.Never
	}
	s.live.remove(f)
	s.lingering.add(f)
	f.listed = true
	if s.lingering.count > maxLingering {
		s.remove(s.lingering.first)
	}
}

// finish reports a connection's end, once, and gives its places back.
func (s *Shard) finish(now endpoint.Time, f *flow) {
	if f.phase == lingering {
		return
	}
	f.phase = lingering
	f.syn = nil
	f.stage.Finish()
	f.acts.finish(f)
	f.dropPipelines()
	s.strike(f)
	s.givePlace(f)
	s.counters.Closed++
	s.account(f)
	s.counters.Ends.countEnd(f)
	if s.opt.Observer == nil {
		return
	}
	c, v := &f.legs[endpoint.Client], &f.legs[endpoint.Server]
	s.opt.Observer.Closed(&Summary{
		Conn:        f.id,
		Client:      f.clientAddr(),
		Server:      f.serverAddr(),
		Rule:        f.profile.rule,
		Legs:        f.verdicts(now),
		Fired:       slices.Clone(f.fired), // what lingers goes on counting, and observers read elsewhere
		Started:     s.opt.Epoch.Add(time.Duration(f.opened)),
		Duration:    now.Sub(f.opened),
		ToServer:    v.delivered(),
		ToClient:    c.delivered(),
		FirstClose:  f.firstClose,
		How:         f.how,
		Fault:       f.endedBy(),
		ClientState: c.last,
		ServerState: v.last,
	})
}

// letGo releases the legs of a lingering flow that are over, and the flow
// when nothing is left of it. It tells whether the flow is gone.
func (s *Shard) letGo(f *flow) bool {
	if f.gone {
		return true
	}
	for l := range f.legs {
		if f.legs[l].done() && f.legs[l].state() != endpoint.TimeWait && !f.dirty {
			f.legs[l].release()
		}
	}
	if f.deadline != endpoint.Never || f.acts.next() != endpoint.Never || f.stage.Held() > 0 {
		return false
	}
	if f.legs[0].ep != nil || f.legs[1].ep != nil {
		return s.rest(f)
	}
	s.remove(f)
	return true
}

// abandon ends a flow at once: what its legs still have to say is sent, and
// nothing of it stays.
func (s *Shard) abandon(now endpoint.Time, f *flow) {
	for l := range f.legs {
		s.abort(now, f, endpoint.Leg(l))
		s.send(now, f, endpoint.Leg(l))
	}
	s.finish(now, f)
	s.remove(f)
}

// remove forgets a flow and gives back all that it has.
func (s *Shard) remove(f *flow) {
	if f.gone {
		return
	}
	list := &s.live
	if f.listed {
		list = &s.lingering
	}
	f.gone = true
	s.charge(-flowOctets)
	list.remove(f)
	s.untally(f)
	s.wheel.stop(&f.timer)
	f.stage.Close()
	f.dropPipelines()
	s.strike(f)
	s.givePlace(f)
	for l := range f.legs {
		leg := &f.legs[l]
		leg.release()
		if s.flows[leg.in()].flow == f {
			delete(s.flows, leg.in())
		}
	}
}

// Drain stops taking new connections: from now on their SYNs pass.
func (s *Shard) Drain() { s.draining = true }

// Draining tells whether new connections pass.
func (s *Shard) Draining() bool { return s.draining }

// Shutdown ends all connections: both peers of each get a RST. A client whose
// SYN is held is told nothing: it sends it again, past us.
func (s *Shard) Shutdown(now endpoint.Time) {
	s.draining = true
	for f := s.live.first; f != nil; f = s.live.first {
		f.closed("tcpmitm", ByShutdown)
		// No fault may keep these RSTs: there will be nobody to send them later.
		f.stage.Close()
		f.stage = nil
		s.abandon(now, f)
	}
	for f := s.lingering.first; f != nil; f = s.lingering.first {
		s.remove(f)
	}
	for w := s.waiting.first; w != nil; w = s.waiting.first {
		s.forget(w)
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
}
