package endpoint

// finState is what becomes of our FIN.
type finState struct {
	wanted   bool // the user has closed
	sent     bool
	withheld bool // ABORT will take its place
}

// WriteSpace is the number of octets that Write may be given: the send buffer
// less what is in it.
func (e *Endpoint) WriteSpace() int {
	if e.fin.wanted || e.state == Closed {
		return 0
	}
	return e.cfg.SendBuffer - e.out.len()
}

// Write is the SEND call (RFC 9293, 3.9.1.2). It takes the chunk over, and
// drops it if the connection is closed. Octets written before the handshake
// is complete wait for it.
func (e *Endpoint) Write(now Time, c Chunk) {
	if e.fin.wanted || e.state == Closed || e.state == TimeWait {
		c.Release()
		return
	}
	idle := e.inflight.empty() && !e.unsent()
	e.out.push(c)
	if idle && e.synchronized() {
		e.timer.since = now
		if e.lastSent != 0 && now.Sub(e.lastSent) > e.rtt.rto() {
			e.cong.afterIdle()
		}
		e.armSendTimer(now)
	}
}

// CloseWrite is the CLOSE call (RFC 9293, 3.9.1.4) as a half-close: a FIN
// follows the last octet written, and reading goes on.
//
// We depart from the RFC in SYN-SENT, where CLOSE would delete the TCB,
// because a relay's close is the other peer's half-close and what that peer
// wrote before it must still arrive.
func (e *Endpoint) CloseWrite(now Time) {
	if e.fin.wanted || e.state == Closed || e.state == Listen {
		return
	}
	idle := e.inflight.empty()
	e.fin.wanted = true
	if e.state == Established {
		e.setState(FinWait1)
	}
	if idle && e.synchronized() {
		e.timer.since = now
		e.armSendTimer(now)
	}
}

// WithholdFIN keeps our FIN back, and tells whether it could: it has not been
// sent yet. What was written is delivered, and then the user aborts the
// connection, though it may have closed it before.
func (e *Endpoint) WithholdFIN() bool {
	e.fin.withheld = !e.fin.sent
	return e.fin.withheld
}

// Close is CloseWrite by a user who will not read any more: unread octets, or
// octets that arrive later, are answered with RST (SHLD-3).
func (e *Endpoint) Close(now Time) {
	e.noRead = true
	if e.in.ready > 0 {
		e.Abort(now)
		return
	}
	e.CloseWrite(now)
	if e.state == FinWait2 {
		e.limitOrphan(now)
	}
}

// limitOrphan bounds FIN-WAIT-2 once nobody will read what the peer may send.
func (e *Endpoint) limitOrphan(now Time) {
	if e.noRead && e.cfg.Orphan > 0 && e.closeAt == Never {
		e.closeAt = now.Add(e.cfg.Orphan)
	}
}

// Readable is the number of in-order octets that Read can hand out.
func (e *Endpoint) Readable() int { return e.in.ready }

// Read is the RECEIVE call (RFC 9293, 3.9.1.3): the next run of octets, limit
// at most. The caller owns the chunk. Reading opens the window.
func (e *Endpoint) Read(now Time, limit int) (Chunk, bool) {
	c, ok := e.in.pop(limit)
	if ok {
		e.urgentRead()
		e.windowUpdate(now)
	}
	return c, ok
}
