package splice

import (
	"time"

	"tcpmitm/endpoint"
)

// resetOf is the RST that answers a segment for which there is no connection
// (RFC 9293, 3.10.7.1).
func resetOf(seg *endpoint.Segment) endpoint.Segment {
	if seg.Flags.Has(endpoint.ACK) {
		return endpoint.Segment{Seq: seg.Ack, Flags: endpoint.RST}
	}
	return endpoint.Segment{Ack: seg.End(), Flags: endpoint.RST | endpoint.ACK}
}

// refuse passes the server's refusal on to a client whose SYN is held: it
// sees ECONNREFUSED, as it would without us.
func (s *Shard) refuse(now endpoint.Time, f *flow) {
	if f.syn == nil {
		return
	}
	syn := f.syn
	f.syn = nil
	s.sendReset(now, f, endpoint.Client, syn)
}

// sendReset answers a segment of a flow's peer by a RST.
func (s *Shard) sendReset(now endpoint.Time, f *flow, l endpoint.Leg, seg *endpoint.Segment) {
	s.reply = resetOf(seg)
	s.leave(now, f, l, &s.reply, endpoint.Closed)
}

// unreachable passes an ICMP error about our SYN on to the client: as the
// same error if its SYN is held, else as a RST.
func (s *Shard) unreachable(now endpoint.Time, f *flow, e *endpoint.ICMPError) {
	f.closed("server", ByUnreachable)
	if f.syn != nil {
		in := f.legs[endpoint.Client].in()
		s.sent(s.dev.SendUnreachable(endpoint.Client, f.legs[endpoint.Client].header, e, &in, f.syn))
	}
	s.abort(now, f, endpoint.Client)
	s.abort(now, f, endpoint.Server)
	f.legs[endpoint.Server].aborted = false
}

// resetSYN answers a new connection's SYN by a RST; key is how the client
// addressed it.
func (s *Shard) resetSYN(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple) {
	s.reply = resetOf(&p.Segment)
	out := key.Reverse()
	s.emit(endpoint.Client, &out, Header{Loopback: towardsCaller(p)}, &s.reply)
}

// number gives a connection that is told of before it begins its number.
func (s *Shard) number(d *decision) {
	if d.conn == 0 {
		d.conn = s.budget.lastConn.Add(1)
	}
}

// reportRuled reports a connection that a rule, or a fault of it, ended before
// it began.
func (s *Shard) reportRuled(now endpoint.Time, key endpoint.Tuple, d *decision, fault string) {
	s.number(d)
	if s.opt.Observer == nil {
		return
	}
	s.opt.Observer.Closed(&Summary{
		Conn:        d.conn,
		Client:      key.Source(),
		Server:      key.Destination(),
		Rule:        d.rule.Name,
		Fault:       fault,
		Started:     s.opt.Epoch.Add(time.Duration(now)),
		FirstClose:  "tcpmitm",
		How:         ByRule,
		ClientState: endpoint.Listen,
		ServerState: endpoint.Closed,
		Legs:        [2]LegVerdict{neverBegun(endpoint.Listen, Termination{'R', 'C'}), neverBegun(endpoint.Closed, Termination{'R', 'N'})},
		Fired:       firedOnce(d.rule, fault),
	})
}
