package splice

import (
	"time"

	"tcpmitm/endpoint"
)

// Orphans are connections whose process has died without a word. Their peers
// know nothing of it: one that sends would do so until it gives up, one that
// waits would wait for ever. Only we can end them: what expects our sequence
// numbers takes a RST with no others.
//
// Who takes over (the guard within moments, or the next start) adopts them
// from the ledger. Each peer is sent a RST at once, at SND.NXT, where it stands
// if all that was sent has arrived, and at SND.UNA, where it stands if what
// came next was lost. A peer that stands in between answers the first by a
// challenge ACK (RFC 5961, 3.2), which says where: so whatever still comes of
// an orphan is answered by a RST with the very number that it asks for. A RST is
// not acknowledged, and one that is lost on the way to an idle peer is not asked
// for: so all are repeated a few times.
//
// A connection that is not ours must never be hit. A RST out of the ledger has
// the exact number that the orphan's peer expects; for a stranger who has got
// the same addresses and ports meanwhile that is one of 2^32. And what comes on
// an orphan's tuple is only taken for its own if it acknowledges what the dead
// process had under way and continues what that had received.
const (
	// OrphanLife is how long an orphan is remembered: as long as most
	// kernels go on sending what nobody acknowledges.
	OrphanLife = 16 * time.Minute
	// orphanReach is how far a segment of an orphan's peer may be away from
	// what the dead process had received, in octets: more than any window
	// of ours.
	orphanReach = 1 << 24
	// orphanRounds is how often the RSTs are sent; the first pause between
	// two is orphanPause, the next twice as long.
	orphanRounds = 3
	orphanPause  = time.Second
	// maxOrphans bounds those that a shard remembers. It is as many as a
	// ledger has lines for.
	maxOrphans = 2 << 20 // legs
)

// Orphan is a connection as a dead process has left it.
type Orphan struct {
	Legs [2]OrphanLeg
}

// OrphanLeg is one leg of it.
type OrphanLeg struct {
	Out     endpoint.Tuple // of what we sent
	Numbers endpoint.Numbers
	Open    bool // its peer had a connection, or was asked for one
}

// ClientPort is what the connection's shard follows from.
func (o *Orphan) ClientPort() uint16 { return o.Legs[endpoint.Client].Out.DstPort }

// orphanRef is what the table holds: an orphan, and which leg the tuple is of.
type orphanRef struct {
	orphan *Orphan
	leg    endpoint.Leg
}

// orphanage is a shard's.
type orphanage struct {
	of     map[endpoint.Tuple]orphanRef
	until  endpoint.Time
	groups int // that wait for their next round
}

// orphanGroup are those that were adopted together.
type orphanGroup struct {
	list  []Orphan
	left  int // rounds
	pause time.Duration
	timer timer
}

// Adopt resets both peers of each orphan, and remembers them for what they
// still send. Those that have a new life already, as flows, are left alone.
func (s *Shard) Adopt(now endpoint.Time, list []Orphan) {
	s.orphans.until = now.Add(OrphanLife)
	if s.orphans.of == nil {
		s.orphans.of = make(map[endpoint.Tuple]orphanRef)
	}
	group := &orphanGroup{list: list, left: orphanRounds, pause: orphanPause}
	group.timer.owner = group
	for i := range list {
		o := &list[i]
		if _, ok := s.flows[o.Legs[endpoint.Client].Out.Reverse()]; ok {
			continue
		}
		s.counters.Orphans++
		for l := range o.Legs {
			leg := &o.Legs[l]
			if !leg.Open {
				continue
			}
			if len(s.orphans.of) < maxOrphans {
				s.orphans.of[leg.Out.Reverse()] = orphanRef{o, endpoint.Leg(l)}
			}
		}
	}
	s.orphans.groups++
	group.timeout(now, s)
}

// timeout sends each leg's peer a RST, unless it has sent one itself or has got
// a new connection since.
func (g *orphanGroup) timeout(now endpoint.Time, s *Shard) {
	for i := range g.list {
		o := &g.list[i]
		for l := range o.Legs {
			leg := &o.Legs[l]
			if ref, ok := s.orphans.of[leg.Out.Reverse()]; !ok || ref.orphan != o {
				continue
			}
			if leg.Numbers.SndUna != leg.Numbers.SndNxt {
				s.resetOrphan(leg, endpoint.Leg(l), leg.Numbers.SndUna)
			}
			s.resetOrphan(leg, endpoint.Leg(l), leg.Numbers.SndNxt)
		}
	}
	if g.left--; g.left == 0 {
		s.orphans.groups--
		return
	}
	s.wheel.set(&g.timer, now.Add(g.pause))
	g.pause *= 2
}

// resetOrphan sends a leg's peer a RST. It acknowledges, too: a peer that is
// still in SYN-SENT takes no other.
func (s *Shard) resetOrphan(leg *OrphanLeg, l endpoint.Leg, seq endpoint.Seq) {
	s.reply = endpoint.Segment{Seq: seq, Ack: leg.Numbers.RcvNxt, Flags: endpoint.RST | endpoint.ACK}
	s.emit(l, &leg.Out, orphanHeader(&leg.Out), &s.reply)
}

// handleOrphan judges a packet of no flow, and tells whether it is an
// orphan's.
func (s *Shard) handleOrphan(now endpoint.Time, p *endpoint.Packet) (v endpoint.Verdict, ok bool) {
	if len(s.orphans.of) == 0 {
		return v, false
	}
	if now >= s.orphans.until {
		s.orphans.of = nil
		return v, false
	}
	ref, ok := s.orphans.of[p.Tuple]
	if !ok {
		return v, false
	}
	leg := &ref.orphan.Legs[ref.leg]
	if !leg.sent(&p.Segment) {
		return v, false
	}
	if ref.leg == endpoint.Server && p.Hook == endpoint.Early {
		return endpoint.Accept, true // it comes again, past the filter
	}
	s.counters.SegmentsIn[ref.leg]++
	if p.Flags.Has(endpoint.RST) {
		delete(s.orphans.of, p.Tuple)
		return endpoint.Take, true
	}
	s.reply = resetOf(&p.Segment)
	s.emit(ref.leg, &leg.Out, orphanHeader(&leg.Out), &s.reply)
	return endpoint.Take, true
}

// sent tells whether a segment can come from the leg's peer.
func (l *OrphanLeg) sent(seg *endpoint.Segment) bool {
	n := &l.Numbers
	d := n.RcvNxt.To(seg.Seq)
	if d < -orphanReach || d > orphanReach {
		// What we have received of a server that was being dialled is nothing.
		return seg.Flags.Has(endpoint.SYN|endpoint.ACK) && seg.Ack == n.SndNxt
	}
	if !seg.Flags.Has(endpoint.ACK) {
		return seg.Flags.Has(endpoint.RST)
	}
	return !seg.Ack.Before(n.SndUna) && !seg.Ack.After(n.SndNxt)
}

// disown forgets an orphan whose addresses and ports a new connection has.
func (s *Shard) disown(key endpoint.Tuple) {
	if ref, ok := s.orphans.of[key]; ok {
		for l := range ref.orphan.Legs {
			delete(s.orphans.of, ref.orphan.Legs[l].Out.Reverse())
		}
	}
}
