package endpoint

import "time"

// KeepAlive asks a silent peer whether it is still there (RFC 9293, 3.8.4;
// RFC 1122, 4.2.3.6). It is off unless Idle is set (MUST-24, MUST-25).
type KeepAlive struct {
	Idle     time.Duration // silence before the first probe; RFC: at least 2 h by default (MUST-28)
	Interval time.Duration // between unanswered probes
	Count    int           // unanswered probes that end the connection; more than 1 (MUST-29)
}

// keepState is the keep-alive of one connection.
type keepState struct {
	at     Time
	heard  Time // when the peer was last heard
	probes uint8
}

// startKeepAlive starts the silence of a connection that is now established.
func (e *Endpoint) startKeepAlive(now Time) {
	e.keep.heard = now
	e.keep.at = Never
	if k := e.cfg.KeepAlive.Idle; k > 0 {
		e.keep.at = now.Add(k)
	}
}

// keepAliveTimeout looks whether the peer has been silent for long enough.
// The deadline is not moved with each segment, but found anew when it comes.
func (e *Endpoint) keepAliveTimeout(now Time) {
	k := &e.cfg.KeepAlive
	e.keep.at = Never
	if !e.synchronized() || e.state == TimeWait {
		return
	}
	if !e.inflight.empty() || e.unsent() {
		// MUST-26: only an idle connection is probed; R2 watches over the
		// others.
		e.keep.at = now.Add(k.Idle)
		return
	}
	if due := e.keep.heard.Add(k.Idle); e.keep.probes == 0 && due > now {
		e.keep.at = due
		return
	}
	if int(e.keep.probes) >= max(k.Count, 1) {
		e.rst = resetHeader{seq: e.bareSeq(), ack: e.rcv.nxt, flags: RST | ACK}
		e.due |= dueRST
		e.delete(EventTimeout)
		return
	}
	e.keep.probes++
	e.keep.at = now.Add(k.Interval)
	e.due |= dueKeepAlive
}

// LastHeard is when something acceptable came from the peer; 0 is never.
func (e *Endpoint) LastHeard() Time { return e.keep.heard }

// heard notes a sign of life.
func (e *Endpoint) heard(now Time) {
	e.keep.heard = now
	if e.keep.probes > 0 {
		e.keep.probes = 0
		e.keep.at = now.Add(e.cfg.KeepAlive.Idle)
	}
}

// pollKeepAlive emits the probe: an ACK without text (SHLD-12) whose sequence
// number the peer has long acknowledged, so that it must answer.
func (e *Endpoint) pollKeepAlive(now Time, s *Segment) bool {
	if e.due&dueKeepAlive == 0 {
		return false
	}
	e.due &^= dueKeepAlive
	s.Seq = e.snd.nxt - 1
	e.stamp(now, s)
	return true
}
