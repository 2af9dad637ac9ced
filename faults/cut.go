package faults

import "tcpmitm/endpoint"

// part writes into p the octets from to to of a segment that has n octets of
// payload and is cut into segments of size octets at most. The pieces are
// valid until w.pieces is shortened again.
func (w *Wire) part(p, seg *endpoint.Segment, from, to, n, size int) {
	*p = *seg
	p.Seq = seg.Seq.Plus(from)
	p.MSS = 0
	if to-from > size {
		p.MSS = size
	}
	if len(seg.Payload) > 0 {
		p.Payload = seg.Payload[from:to]
	} else {
		at := len(w.pieces)
		w.cutPieces(seg.Pieces, from, to)
		p.Pieces = w.pieces[at:len(w.pieces):len(w.pieces)]
	}
	if to < n {
		p.Flags &^= endpoint.FIN | endpoint.PSH
	}
	if from == 0 {
		return
	}
	// Only the first of the segments may carry CWR (RFC 3168, 6.1.2).
	p.Flags &^= endpoint.CWR
	if p.Flags.Has(endpoint.URG) {
		if int(p.Urgent) > from {
			p.Urgent -= uint16(from)
		} else {
			p.Flags, p.Urgent = p.Flags&^endpoint.URG, 0
		}
	}
}

// cutPieces appends the octets from to to of pieces to w.pieces.
func (w *Wire) cutPieces(pieces [][]byte, from, to int) {
	for _, b := range pieces {
		if to <= 0 {
			return
		}
		if from < len(b) {
			w.pieces = append(w.pieces, b[max(from, 0):min(to, len(b))])
		}
		from, to = from-len(b), to-len(b)
	}
}
