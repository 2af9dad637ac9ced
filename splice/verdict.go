package splice

import (
	"time"

	"tcpmitm/endpoint"
)

// NotYet is the duration of what has not happened.
const NotYet time.Duration = -1

// LegVerdict says how one leg of a connection has fared, so far or in all.
type LegVerdict struct {
	State endpoint.State // the last one before CLOSED, if it has ended
	Code  Termination    // how it ended

	// Phases, from the first segment of each kind: NotYet if there was none.
	SYNToSYNACK time.Duration
	Handshake   time.Duration // SYN to ESTABLISHED
	FirstByte   time.Duration // SYN to the first octet from the peer
	FINToACK    time.Duration // our FIN to its acknowledgement
	HalfClosed  time.Duration // one FIN to the other, or to the end

	SRTT, RTTVar, MinRTT, RTO time.Duration // 0: not measured
	MSS, Cwnd, Ssthresh       int           // octets
	SegmentsIn, SegmentsOut   uint64        // as the endpoint has counted
	OctetsIn, OctetsOut       uint64        // payload, in order and acknowledged
	Retransmits, Timeouts     uint32
	FastRecoveries            uint32
	PeerRetransmits           uint32 // segments that came again
	DupACKsIn                 uint32
	DataAfterFIN              uint16 // segments with new octets, from either side, after the leg's first FIN

	WindowIn, WindowOut        Span // of the peer's and of our window, scaled
	SndWnd, RcvWnd             int  // the same as they are now
	SndScale, RcvScale         uint8
	Queued, Unread, OutOfOrder int // octets
	SACK, Timestamps, ECN      bool
}

// verdict describes a leg at now. That of a leg whose endpoint was let go
// lacks what only the endpoint knew.
func (f *flow) verdict(now endpoint.Time, l endpoint.Leg) LegVerdict {
	leg, r := &f.legs[l], &f.legs[l].record
	v := LegVerdict{
		State:           leg.last,
		SYNToSYNACK:     since(r.syn, r.synACK),
		Handshake:       since(r.syn, r.established),
		FirstByte:       since(r.syn, r.firstByte),
		FINToACK:        since(r.finOut, r.finAcked),
		HalfClosed:      r.halfClosed(now),
		PeerRetransmits: r.peerRetransmits,
		DataAfterFIN:    leg.dataAfterFIN,
		WindowIn:        r.windowIn,
		WindowOut:       r.windowOut,
	}
	if leg.ep == nil {
		return v
	}
	i := leg.ep.Info()
	v.SRTT, v.RTTVar, v.MinRTT, v.RTO = i.SRTT, i.RTTVar, i.MinRTT, i.RTO
	v.MSS, v.Cwnd, v.Ssthresh = i.MSS, i.Cwnd, i.Ssthresh
	v.SegmentsIn, v.SegmentsOut, v.OctetsIn, v.OctetsOut = i.SegmentsIn, i.SegmentsOut, i.OctetsIn, i.OctetsOut
	v.Retransmits, v.Timeouts, v.FastRecoveries, v.DupACKsIn = i.Retransmits, i.Timeouts, i.FastRecoveries, i.DupACKsIn
	v.SndWnd, v.RcvWnd, v.SndScale, v.RcvScale = i.SndWnd, i.RcvWnd, i.SndScale, i.RcvScale
	v.Queued, v.Unread, v.OutOfOrder = i.Unsent+i.Unacked, i.Unread, i.OutOfOrder
	v.SACK, v.Timestamps, v.ECN = i.SACK, i.Timestamps, i.ECN
	return v
}

// verdicts are those of both legs of a connection that is over.
func (f *flow) verdicts(now endpoint.Time) (v [2]LegVerdict) {
	for l := range v {
		v[l] = f.verdict(now, endpoint.Leg(l))
		v[l].Code = f.termination(endpoint.Leg(l))
	}
	return v
}

// since is how long to came after from, if both have happened in this order.
func since(from, to endpoint.Time) time.Duration {
	if from == 0 || to < from {
		return NotYet
	}
	return to.Sub(from)
}

// halfClosed is how long only one of the leg's FINs was on its way.
func (r *legRecord) halfClosed(now endpoint.Time) time.Duration {
	out, in := r.finOut, r.finIn
	switch {
	case out == 0 && in == 0:
		return NotYet
	case out == 0:
		out = now
	case in == 0:
		in = now
	}
	if out < in {
		out, in = in, out
	}
	return out.Sub(in)
}

// neverBegun is the verdict on a leg that never had an endpoint.
func neverBegun(s endpoint.State, code Termination) LegVerdict {
	return LegVerdict{
		State: s, Code: code,
		SYNToSYNACK: NotYet, Handshake: NotYet, FirstByte: NotYet, FINToACK: NotYet, HalfClosed: NotYet,
	}
}
