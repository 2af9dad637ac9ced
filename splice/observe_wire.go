package splice

import (
	"net/netip"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// WireObserver is what an Observer may be, too: it is told of packets as the
// wire of each leg has them, those that arrive before the faults of a rule
// have their way, those that leave after that. As with an Observer, the
// methods must not block, and keep only copies.
type WireObserver interface {
	// Wire is called for each packet of a spliced connection that arrives or
	// leaves, and for the SYNs that a rule answers in the server's place. The
	// faults that act on a packet are told (see Observer) before it.
	Wire(e *WireEvent)
}

// WireEvent is one packet on the wire of one leg.
type WireEvent struct {
	At             endpoint.Time
	Conn           uint64 // 0: there is no connection, or not yet
	Client, Server netip.AddrPort
	Rule           string
	Leg            endpoint.Leg
	Out            bool
	Tuple          endpoint.Tuple // its sender and its receiver on this leg
	Head           Header         // of what leaves
	Segment        *endpoint.Segment
	// Raw is the IP packet as it was taken from the kernel, for one that
	// arrives, or nil if it is not known. Its addresses may have been
	// translated, and its checksums need not have been filled in.
	Raw  []byte
	Note string // what a rule did to what leaves, or ""
	// Lost tells that a fault keeps what was to leave from the wire.
	Lost bool
	// Acted tells that a fault has acted on what arrived.
	Acted bool
}

// WatchWire tells whether the shard's observer, if it is a WireObserver, is to
// be told of packets from now on. It belongs to the shard's goroutine: ask
// with Do.
func (s *Shard) WatchWire(on bool) {
	s.wires = nil
	if on {
		s.wires, _ = s.opt.Observer.(WireObserver)
	}
}

// sniff tells of a packet of a flow.
func (s *Shard) sniff(now endpoint.Time, f *flow, l endpoint.Leg, out bool, seg *endpoint.Segment, e WireEvent) {
	if s.wires == nil {
		return
	}
	leg := &f.legs[l]
	e.At, e.Conn, e.Client, e.Server, e.Rule = now, f.id, f.clientAddr(), f.serverAddr(), f.profile.rule
	e.Tuple = leg.in()
	if out {
		e.Tuple = leg.out
	}
	s.tellWire(l, out, seg, &e)
}

// tellWire completes an event and tells it.
func (s *Shard) tellWire(l endpoint.Leg, out bool, seg *endpoint.Segment, e *WireEvent) {
	e.Leg, e.Out, e.Segment = l, out, seg
	if !out && s.taken != nil && seg == &s.taken.Segment {
		e.Raw = s.taken.Raw
	}
	s.wireEvent = *e
	s.wires.Wire(&s.wireEvent)
	s.wireEvent.Segment, s.wireEvent.Raw = nil, nil
}

// sniffSYN tells of a SYN, and of the answer to it if there is one, where no
// flow is made of it.
func (s *Shard) sniffSYN(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple, by *rules.Rule, answer *endpoint.Segment) {
	if s.wires == nil {
		return
	}
	e := WireEvent{At: now, Client: key.Source(), Server: key.Destination(), Tuple: key}
	if by != nil {
		e.Rule = by.Name
	}
	s.tellWire(endpoint.Client, false, &p.Segment, &e)
	if answer != nil {
		e.Tuple, e.Raw = key.Reverse(), nil
		s.tellWire(endpoint.Client, true, answer, &e)
	}
}

// sniffWaiting tells of a packet of a connection that is in TIME-WAIT.
func (s *Shard) sniffWaiting(now endpoint.Time, w *waiting, l endpoint.Leg, out bool, seg *endpoint.Segment) {
	if s.wires == nil {
		return
	}
	leg, c := &w.legs[l], &w.legs[endpoint.Client]
	e := WireEvent{At: now, Conn: w.id, Client: c.out.Destination(), Server: c.out.Source(), Rule: w.rule, Tuple: leg.in()}
	if out {
		e.Tuple, e.Head = leg.out, leg.header
	}
	s.tellWire(l, out, seg, &e)
}
