package faults

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// kinds is a set of kinds of segments: a FIN with data is both.
type kinds uint16

func kind(o rules.On) kinds { return 1 << o }

// side is one direction of a leg, as the stage has seen it.
type side struct {
	iss    endpoint.Seq
	nxt    endpoint.Seq // the highest end seen
	pos    uint64       // position in the stream of nxt
	ack    endpoint.Seq // of the last segment
	fin    endpoint.Seq // end of the FIN, if closed
	edge   endpoint.Seq // right edge of the widest window told
	window uint16       // of the last segment, as in the header
	mss    int          // what the sender of this side takes at most, options included; 0: not said
	scale  uint8
	scales bool // the SYN had the window scale option
	known  bool // a SYN was seen
	acks   bool // a segment with ACK was seen
	closed bool // a FIN was seen
	behind int  // segments of this side that wait for others to pass
	// synACKs counts those of this side that no third segment of the handshake
	// has answered.
	synACKs uint8
}

// defaultMSS is what a peer sends at most to somebody who named no MSS
// (MUST-15), in octets. For IPv6 it would be 1,220; segments are then cut
// smaller than they were.
const defaultMSS = 536

// timestampsLen is the room that the timestamps option takes in each segment
// (RFC 7323, 3.2), in octets.
const timestampsLen = 12

// wireSize is how many octets a segment of d has on the wire at most, when
// back is the other direction.
func wireSize(seg *endpoint.Segment, out bool, back *side) int {
	if out {
		if seg.MSS > 0 {
			return seg.MSS
		}
		return seg.PayloadLen()
	}
	n := back.mss
	if n == 0 {
		n = defaultMSS
	}
	if seg.Options.Has&endpoint.HasTimestamps != 0 {
		n -= timestampsLen
	}
	return max(n, 1)
}

// kindsOf tells what a segment with n octets of payload is. opener is set for
// the direction of the side that opened the connection.
func (d *side) kindsOf(seg *endpoint.Segment, n int, back *side, opener bool) kinds {
	const syn, fin, rst, ack = endpoint.SYN, endpoint.FIN, endpoint.RST, endpoint.ACK
	k := kind(rules.Any)
	switch {
	case seg.Flags.Has(rst):
		return k | kind(rules.RST)
	case seg.Flags.Has(syn | ack):
		return k | kind(rules.SYNACK)
	case seg.Flags.Has(syn):
		return k | kind(rules.SYN)
	}
	if n > 0 {
		k |= kind(rules.Data)
	}
	if seg.Flags.Has(fin) {
		k |= kind(rules.FIN)
	}
	if k != kind(rules.Any) || !seg.Flags.Has(ack) {
		return k
	}
	switch {
	case back.closed && seg.Ack == back.fin:
		return k | kind(rules.LastACK)
	case opener && back.synACKs > 0 && seg.Seq == d.iss+1 && d.nxt == seg.Seq && seg.Ack == back.iss+1 && back.nxt == seg.Ack:
		// Also one that answers a SYN-ACK that was sent again.
		return k | kind(rules.HandshakeACK)
	case d.acks && seg.Ack == d.ack && seg.Window != d.window && seg.Seq == d.nxt && seg.Options.SACKBlocks == 0:
		return k | kind(rules.WindowUpdate)
	}
	return k | kind(rules.ACK)
}

// again tells whether a segment is, in part at least, a retransmission.
func (d *side) again(seg *endpoint.Segment) bool {
	return d.known && seg.Len() > 0 && seg.Seq.Before(d.nxt)
}

// position is where in the stream the octet at seq stands. What stands before
// the stream's first octet (a SYN, a keep-alive's probe) is at 0.
func (d *side) position(seq endpoint.Seq) uint64 {
	n := d.nxt.To(seq)
	if n < 0 && uint64(-n) > d.pos {
		return 0
	}
	return d.pos + uint64(n)
}

// see takes note of a segment, whatever becomes of it. Out of all windows
// nothing is believed: a stranger could send it.
func (d *side) see(seg *endpoint.Segment, back *side, out bool) {
	end := seg.End()
	if seg.Len() == 0 && back.synACKs > 0 {
		back.synACKs--
	}
	switch {
	case seg.Flags.Has(endpoint.RST):
		return
	case seg.Flags.Has(endpoint.SYN):
		// A SYN that is sent again means nothing new.
		if !d.known || d.nxt == d.iss+1 && d.iss != seg.Seq {
			d.begin(seg.Seq, &seg.Options)
		}
		if seg.Flags.Has(endpoint.ACK) && d.synACKs < maxSYNACKs {
			d.synACKs++
		}
	case !d.known:
		d.iss, d.nxt, d.known = seg.Seq-1, seg.Seq, true
		fallthrough
	default:
		if !out && back.acks && end.After(back.edge.Plus(1)) {
			return
		}
		if seg.Flags.Has(endpoint.FIN) {
			d.fin, d.closed = end, true
		}
	}
	if end.After(d.nxt) {
		d.pos += uint64(d.nxt.To(end))
		d.nxt = end
	}
	if seg.Flags.Has(endpoint.ACK) {
		shift := uint8(0)
		if d.scales && back.scales && !seg.Flags.Has(endpoint.SYN) {
			shift = d.scale
		}
		if edge := seg.Ack.Plus(int(seg.Window) << shift); !d.acks || edge.After(d.edge) {
			d.edge = edge
		}
		d.ack, d.window, d.acks = seg.Ack, seg.Window, true
	}
}

// maxSYNACKs is how many unanswered ones are counted.
const maxSYNACKs = 16

// begin takes the numbers of a SYN.
func (d *side) begin(iss endpoint.Seq, o *endpoint.Options) {
	*d = side{iss: iss, nxt: iss + 1, known: true, behind: d.behind}
	if o.Has&endpoint.HasMSS != 0 {
		d.mss = int(o.MSS)
	}
	d.scales = o.Has&endpoint.HasWindowScale != 0
	d.scale = min(o.WindowScale, 14)
}
