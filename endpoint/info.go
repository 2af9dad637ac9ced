package endpoint

import (
	"fmt"
	"time"
)

// Info is what ss(8) -i would show of a connection.
type Info struct {
	State                  State
	ISS, IRS               Seq
	SndUna, SndNxt, RcvNxt Seq
	SndWnd, RcvWnd         int // octets
	SndScale, RcvScale     uint8
	MSS                    int // effective send MSS, octets
	Cwnd, Ssthresh         int // octets
	SRTT, RTTVar, RTO      time.Duration
	MinRTT                 time.Duration // the smallest sample; 0 is none
	Unsent, Unacked        int           // octets
	Unread, OutOfOrder     int           // octets
	SACK, Timestamps       bool
	TSRecent               uint32 // TS.Recent (RFC 7323, 4.3), if Timestamps
	ECN                    bool
	SoftError              SoftError // the last one, if any
	Counters
}

// Info describes the connection as it stands.
func (e *Endpoint) Info() Info {
	return Info{
		State: e.state,
		ISS:   e.snd.iss, IRS: e.rcv.irs,
		SndUna: e.snd.una, SndNxt: e.snd.nxt, RcvNxt: e.rcv.nxt,
		SndWnd: e.snd.wnd, RcvWnd: max(e.rcv.nxt.To(e.rcv.edge), 0),
		SndScale: e.snd.scale, RcvScale: e.rcv.scale,
		MSS: e.snd.mss, Cwnd: e.cong.cwnd, Ssthresh: e.cong.ssthresh,
		SRTT: e.rtt.srtt, RTTVar: e.rtt.rttvar, RTO: e.rtt.rto(),
		MinRTT: e.rtt.min,
		Unsent: max(e.snd.nxt.To(e.out.end), 0), Unacked: e.snd.una.To(e.snd.nxt),
		Unread: e.in.ready, OutOfOrder: e.in.oooLen,
		SACK: e.sack, Timestamps: e.ts.on, ECN: e.ecn.on, TSRecent: e.ts.recent,
		SoftError: e.soft,
		Counters:  e.counters,
	}
}

// Repairs is how often the endpoint has sent something again, how often its
// retransmission timer has run out, and how many losses it has repaired without
// that: part of Info, for who asks often.
func (e *Endpoint) Repairs() (retransmits, timeouts, fastRecoveries uint32) {
	return e.counters.Retransmits, e.counters.Timeouts, e.counters.FastRecoveries
}

// TSVal is what the timestamps option shows at now for an offset: the clock
// of RFC 7323, 5.4.
func TSVal(now Time, offset uint32) uint32 { return tsClock(now, offset) }

// Verify checks what must hold after every call, and returns an error that
// says what does not. It costs time in proportion to what is outstanding.
func (e *Endpoint) Verify() error {
	if e.state == Closed {
		return nil
	}
	if e.snd.una.After(e.snd.nxt) {
		return fmt.Errorf("snd.una %d is after snd.nxt %d", e.snd.una, e.snd.nxt)
	}
	at, sacked, lost := e.snd.una, 0, 0
	for i, t := range e.inflight.live() {
		if t.start != at || !t.start.Before(t.end) {
			return fmt.Errorf("transmission %d is %d-%d, wanted it to start at %d", i, t.start, t.end, at)
		}
		at = t.end
		if t.sacked {
			sacked += t.len()
		}
		if t.lost {
			lost += t.len()
		}
		if t.sacked && t.lost {
			return fmt.Errorf("transmission %d-%d is both lost and delivered", t.start, t.end)
		}
	}
	if at != e.snd.nxt {
		return fmt.Errorf("transmissions end at %d, snd.nxt is %d", at, e.snd.nxt)
	}
	if sacked != e.inflight.sacked || lost != e.inflight.lost {
		return fmt.Errorf("counted %d octets delivered and %d lost, recorded %d and %d", sacked, lost, e.inflight.sacked, e.inflight.lost)
	}
	if e.state != TimeWait && (!e.inflight.empty() || e.unsent()) && e.timer.kind == timerNone && e.due == 0 && !e.holds(HeldSYNACK) {
		return fmt.Errorf("%s: %d octets unacknowledged, unsent %v, and no timer is armed", e.state, e.snd.una.To(e.snd.nxt), e.unsent())
	}
	return nil
}
