package splice

import (
	"math/bits"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// synPatience is how long the server is dialled for a client that does not
// send its SYN again: longer than the longest pause between the SYNs of a
// client that still waits (64 s in Linux, twice).
const synPatience = 130 * time.Second

// handleSYN judges a SYN that has passed the host's filter; key is its tuple
// as the client sent it.
func (s *Shard) handleSYN(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple) endpoint.Verdict {
	ref, ok := s.flows[key]
	switch {
	case !ok:
		var after *endpoint.Seq
		if w, there := s.waiting.of[key]; there {
			if w.leg == endpoint.Client {
				after, there = s.takeOver(w.waiting, &p.Segment)
			} else {
				there = false
			}
			if !there {
				s.handleWaiting(now, w.waiting, w.leg, &p.Segment)
				return endpoint.Take
			}
		} else if s.handOver(p) {
			return endpoint.Take
		}
		s.disown(key)
		return s.openNew(now, p, key, after)
	case ref.leg == endpoint.Server:
		// The server calls the client on the tuple that we dial it on: a
		// simultaneous open (MUST-10).
		s.arrive(now, ref.flow, ref.leg, &p.Segment)
		return endpoint.Take
	}
	return s.handleSYNOfFlow(now, p, ref.flow, key)
}

// handleSYNOfFlow judges a SYN on the tuple of a flow that exists.
func (s *Shard) handleSYNOfFlow(now endpoint.Time, p *endpoint.Packet, f *flow, key endpoint.Tuple) endpoint.Verdict {
	c, srv := &f.legs[endpoint.Client], &f.legs[endpoint.Server]
	if c.ep != nil && c.ep.State() == endpoint.Closed && !c.vanished && f.phase != lingering {
		// The client's RST came in the same burst: a host that has begun anew
		// answers our challenge with it and sends its SYN again at once. The
		// old connection has its turn first.
		s.settle(now, f)
		if f.gone {
			return s.handleSYN(now, p, key)
		}
	}
	switch {
	case c.vanished:
		s.arrive(now, f, endpoint.Client, &p.Segment)
		return endpoint.Take
	case f.syn != nil && p.Seq == f.syn.Seq, f.phase == knocking && p.Seq == c.irs:
		// The same SYN again: the client still waits.
		f.lastSYN = now
		s.arrive(now, f, endpoint.Client, &p.Segment)
		return endpoint.Take
	case f.phase == knocking:
		// It has given up, and the server has never heard of it.
		f.closed("client", ByReset)
		after := f.after
		s.abandon(now, f)
		return s.openNew(now, p, key, after)
	case f.syn != nil:
		// The client has given up and starts anew. So do we: the server is
		// told by the SYN of the new connection.
		f.closed("client", ByReset)
		srv.aborted = false
		s.abandon(now, f)
		return s.openNew(now, p, key, s.issAfter(srv))
	case c.done() && srv.done() && takesNewSYN(c, &p.Segment):
		after := s.issAfter(srv)
		s.finish(now, f)
		s.remove(f)
		return s.openNew(now, p, key, after)
	case c.ep == nil:
		// The server leg still delivers what the old connection sent. The
		// client sends its SYN again, and then that will be over.
		s.drop(endpoint.ReasonUnexpectedSYN)
		return endpoint.Take
	}
	s.arrive(now, f, endpoint.Client, &p.Segment)
	return endpoint.Take
}

// takesNewSYN tells whether a SYN may take over the tuple of a leg that is
// CLOSED or in TIME-WAIT: in TIME-WAIT only if it cannot be an old duplicate
// (RFC 9293, 3.6.1, MAY-2; RFC 6191).
func takesNewSYN(l *leg, seg *endpoint.Segment) bool {
	return l.state() == endpoint.Closed || l.ep.AcceptsSYN(seg)
}

// issAfter is where the next connection's sequence numbers on a leg have to
// begin at least, so that the peer's TIME-WAIT takes our SYN.
func (s *Shard) issAfter(l *leg) *endpoint.Seq {
	end := l.iss + 1 + endpoint.Seq(l.written) + 1
	return &end
}

// openNew decides about a new connection and, if it is to be spliced, makes
// its flow. after bounds the server leg's ISS from below; nil does not.
func (s *Shard) openNew(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple, after *endpoint.Seq) endpoint.Verdict {
	if s.spare == nil {
		s.spare = &flow{deadline: endpoint.Never}
	}
	f := s.spare
	d := s.decide(now, p, key, f)
	switch d.action {
	case rules.Pass:
		return s.pass(p)
	case rules.Reset:
		s.counters.Reset++
		s.resetSYN(now, p, key)
		s.sniffSYN(now, p, key, d.rule, &s.reply)
		return endpoint.Take
	case rules.Drop:
		s.counters.Dropped++
		s.sniffSYN(now, p, key, d.rule, nil)
		return endpoint.Take
	}
	if d.cookie {
		s.sendCookie(now, p, key)
		s.sniffSYN(now, p, key, d.rule, &s.reply)
		return endpoint.Take
	}
	s.spare = nil
	s.ruled(f, d)
	s.addFlow(f, key, p.Tuple.Reverse())
	f.overLoopback(p)
	f.lastSYN, f.after = now, after
	f.phase, f.deadline = knocking, s.handshakeDeadline(f, now.Add(synPatience))
	f.copyDSCP(endpoint.Server, p.DSCP)
	f.legs[endpoint.Client].irs = p.Seq
	f.legs[endpoint.Client].last = endpoint.Listen
	s.arrive(now, f, endpoint.Client, &p.Segment)
	return endpoint.Take
}

// open lets the client's SYN in, once no fault keeps it: the server is
// dialled, or client first the client answered.
func (s *Shard) open(now endpoint.Time, f *flow, seg *endpoint.Segment) {
	syn := s.holdSYN(seg)
	if s.opt.Order == rules.ClientFirst {
		f.deadline = s.handshakeDeadline(f, endpoint.Never)
		s.answerAlone(now, f, syn)
		s.spareSYNs.giveBack(syn)
	} else {
		f.syn = syn
		f.deadline = s.handshakeDeadline(f, f.lastSYN.Add(synPatience))
		f.phase = dialling
		f.legs[endpoint.Client].recordIn(now, syn)
		if s.segments != nil {
			s.observe(now, f, endpoint.Client, false, syn, endpoint.Listen, endpoint.ReasonNone, noteHeld)
		}
		s.dial(now, f, &syn.Options, asksECN(syn), f.after)
	}
	s.markDirty(f)
}

// What the observer is told of a SYN that is kept for later.
const (
	noteHeld      = "held until the server answers"
	noteHeldAgain = "the same SYN again"
)

// asksECN tells an ECN-setup SYN (RFC 3168, 6.1.1).
func asksECN(syn *endpoint.Segment) bool {
	return syn.Flags.Has(endpoint.ECE | endpoint.CWR)
}

// addFlow enters a flow into the table: in is what the client sends, srv what
// the server sends.
func (s *Shard) addFlow(f *flow, in, srv endpoint.Tuple) {
	f.timer.owner = f
	c, v := &f.legs[endpoint.Client], &f.legs[endpoint.Server]
	c.out, v.out = in.Reverse(), srv.Reverse()
	for _, t := range [...]endpoint.Tuple{in, srv} {
		if w, ok := s.waiting.of[t]; ok {
			s.forget(w.waiting)
		}
	}
	s.flows[in] = legRef{f, endpoint.Client}
	s.flows[srv] = legRef{f, endpoint.Server}
	s.live.add(f)
	s.charge(flowOctets)
	s.enter(f)
	f.stage = faults.NewStage(f.profile.program, &s.wire, f.ordinal)
	s.tally(f)
}

// dial opens the server leg with options that mirror those of the client's
// SYN.
func (s *Shard) dial(now endpoint.Time, f *flow, client *endpoint.Options, ecn bool, after *endpoint.Seq) {
	l := &f.legs[endpoint.Server]
	o := s.openLike(now, &l.out, client, ecn)
	s.shape(now, f, endpoint.Server, &o)
	if after != nil && !o.ISS.After(*after) && !f.profile.legs[endpoint.Server].fixedISN() {
		o.ISS = after.Plus(issStep)
	}
	l.iss = o.ISS
	l.ep = endpoint.NewActive(now, &f.profile.legs[endpoint.Server].cfg, o)
	l.note()
	s.markDirty(f)
}

// issStep keeps the ISS of a connection that takes over a tuple clear of what
// the old one may still have in the network, in octets.
const issStep = 1 << 17

// answerClient opens the client leg, now that the server has answered, with
// the options that both sides said, and lets the held SYN in.
func (s *Shard) answerClient(now endpoint.Time, f *flow) {
	l := &f.legs[endpoint.Client]
	o := s.openLike(now, &l.out, f.mirror, f.ecn)
	s.openToClient(now, f, &o)
	f.phase = answering
	f.deadline = s.handshakeDeadline(f, endpoint.Never)
	syn := f.syn
	f.syn = nil
	s.drop(l.ep.HandleSegment(now, syn))
	s.learnSYN(f, endpoint.Client, syn)
	l.note()
	s.markDirty(f)
	s.spareSYNs.giveBack(syn)
}

// openToClient makes the endpoint of the client leg, which is then to be given
// the client's SYN. With simultaneous-open it sends a SYN of its own first,
// which the client's SYN then crosses: both sides go through SYN-RECEIVED
// (RFC 9293, 3.5, figure 8).
func (s *Shard) openToClient(now endpoint.Time, f *flow, o *endpoint.Open) {
	l, cfg := &f.legs[endpoint.Client], &f.profile.legs[endpoint.Client].cfg
	s.shape(now, f, endpoint.Client, o)
	l.iss = o.ISS
	if f.by != nil && f.by.SimultaneousOpen && !f.by.Stopped() {
		l.ep = endpoint.NewActive(now, cfg, *o)
		s.send(now, f, endpoint.Client)
		return
	}
	l.ep = endpoint.NewPassive(cfg, *o)
}

// answerAlone opens the client leg before the server is asked (client first),
// with the options that we can do.
func (s *Shard) answerAlone(now endpoint.Time, f *flow, syn *endpoint.Segment) {
	l := &f.legs[endpoint.Client]
	o := s.openOurs(now, &l.out)
	s.openToClient(now, f, &o)
	f.phase = answering
	f.mirror = s.spareOptions.keep(syn.Options)
	f.ecn = asksECN(syn)
	s.deliver(now, f, endpoint.Client, syn, "")
}

// openOurs is an OPEN with all that we can do.
func (s *Shard) openOurs(now endpoint.Time, out *endpoint.Tuple) endpoint.Open {
	return endpoint.Open{
		ISS:         s.isn.ISS(now, out),
		TSOffset:    s.isn.TSOffset(out),
		IPv6:        !out.IsIPv4(),
		MSS:         s.opt.MTU - headersOf(out),
		WindowScale: s.windowScale(),
		SACK:        true,
		Timestamps:  true,
		ECN:         true,
	}
}

// openLike is an OPEN whose options mirror those of the other leg's peer: so
// the two peers agree on the same things, as if nobody stood between them.
// MPTCP and Fast Open are declined by not being mirrored.
func (s *Shard) openLike(now endpoint.Time, out *endpoint.Tuple, peer *endpoint.Options, ecn bool) endpoint.Open {
	o := s.openOurs(now, out)
	switch {
	case peer.Has&endpoint.HasMSS != 0 && peer.MSS > 0:
		o.MSS = int(peer.MSS)
	case o.IPv6:
		o.MSS = defaultMSS6
	default:
		o.MSS = defaultMSS4
	}
	o.MSS = s.wholeMSS(out, o.MSS)
	if peer.Has&endpoint.HasWindowScale == 0 {
		o.WindowScale = -1
	}
	o.SACK = peer.Has&endpoint.HasSACKPermitted != 0
	o.Timestamps = peer.Has&endpoint.HasTimestamps != 0
	o.ECN = ecn
	return o
}

// What a peer takes that names no MSS (MUST-15), in octets.
const (
	defaultMSS4 = 536
	defaultMSS6 = 1220
)

// windowScale is the smallest shift with which the window field can tell of
// the whole receive buffer.
func (s *Shard) windowScale() int {
	return scaleFor(s.opt.Endpoint.ReceiveBuffer)
}

// scaleFor is windowScale for a receive buffer of n octets.
func scaleFor(n int) int { return min(max(0, bits.Len(uint(n)/65536)), 14) }
