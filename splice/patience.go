package splice

import (
	"time"

	"tcpmitm/endpoint"
)

// Patience says when a connection is given up that nobody ends. 0 is never, and
// of Handshake what the retransmissions and synPatience leave.
//
// It is looked at a few times within the time, and not at each segment: such a
// connection ends when the time has passed, and a quarter of it later at most.
type Patience struct {
	// Handshake is from a connection's first SYN until both sides are
	// connected. Where a rule does something to segments, its faults decide how
	// long that takes.
	Handshake time.Duration
	// Idle is how long a connection may last without an octet that arrives or
	// is acknowledged, on either leg.
	Idle time.Duration
	// HalfClosed is the same once one peer has closed and the other has not.
	HalfClosed time.Duration
}

// patienceLooks is how often within its time a connection is looked at.
const patienceLooks = 4

// handshakeDeadline is when a handshake is given up: at the latest at some
// time of the phase's own.
func (s *Shard) handshakeDeadline(f *flow, own endpoint.Time) endpoint.Time {
	if s.opt.Patience.Handshake > 0 && f.plain() {
		return min(own, f.opened.Add(s.opt.Patience.Handshake))
	}
	return own
}

// handshakeOver gives up a handshake for which its time is over, and tells
// whether it is.
func (s *Shard) handshakeOver(now endpoint.Time, f *flow) bool {
	if f.phase >= relaying || s.handshakeDeadline(f, endpoint.Never) > now {
		return false
	}
	// A client that answers is what is waited for once it was sent our SYN-ACK.
	silent := endpoint.Server
	if f.phase == answering {
		silent = endpoint.Client
	}
	f.closed(silent.String(), ByTimeout)
	if f.phase == knocking {
		f.phase = dialling // nobody does any more: it is over
	}
	// A client whose SYN is held is told nothing, as by a server that is silent.
	f.syn = nil
	s.abort(now, f, endpoint.Client)
	s.abort(now, f, endpoint.Server)
	s.markDirty(f)
	return true
}

// startPatience begins to look whether a connection that is now open is idle.
func (s *Shard) startPatience(now endpoint.Time, f *flow) {
	f.quiet = 0
	f.progress = f.carried()
	f.deadline = endpoint.Never
	if limit := s.patienceFor(f); limit > 0 {
		f.deadline = now.Add(limit / patienceLooks)
	}
}

// patienceFor is how long the connection may be idle at present.
func (s *Shard) patienceFor(f *flow) time.Duration {
	p := &s.opt.Patience
	half := f.legs[0].peerClosed != f.legs[1].peerClosed
	if half && p.HalfClosed > 0 && (p.Idle == 0 || p.HalfClosed < p.Idle) {
		return p.HalfClosed
	}
	return p.Idle
}

// carried grows with every octet that arrives or is acknowledged.
func (f *flow) carried() (n uint64) {
	for l := range f.legs {
		leg := &f.legs[l]
		n += leg.written + leg.delivered()
		if leg.ep != nil {
			n += uint64(leg.ep.Readable())
		}
	}
	return n
}

// lookIdle is a look at an open connection: it is ended when nothing has moved
// since patienceLooks looks.
func (s *Shard) lookIdle(now endpoint.Time, f *flow) {
	limit := s.patienceFor(f)
	if limit == 0 {
		return
	}
	if n := f.carried(); n != f.progress {
		f.progress, f.quiet = n, 0
	} else {
		f.quiet++
	}
	if f.quiet < patienceLooks {
		f.deadline = now.Add(limit / patienceLooks)
		return
	}
	f.closed("tcpmitm", ByTimeout)
	s.abort(now, f, endpoint.Client)
	s.abort(now, f, endpoint.Server)
	s.markDirty(f)
}
