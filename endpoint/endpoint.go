package endpoint

// Endpoint is one side of one TCP connection: the TCB of RFC 9293. It belongs
// to one goroutine.
type Endpoint struct {
	cfg    *Config
	open   opening
	state  State
	last   State // the state before CLOSED
	events Events
	due    due
	noRead bool // the user will read no more (Close)
	// passive tells that SYN-RECEIVED came from LISTEN (MUST-11).
	passive bool

	snd  sendSpace
	rcv  receiveSpace
	ts   timestamps
	sack bool // both sides permit SACK (RFC 2018)

	out      sendQueue
	inflight flight
	in       receiveQueue
	ecn      ecnState
	urgent   urgentState
	path     pathMTU
	rtt      rttEstimator
	cong     congestion
	rack     rackState
	recovery recovery
	ack      ackState
	fin      finState
	soft     SoftError // the last one
	timer    senderTimer
	limit    challengeLimit
	keep     keepState
	rst      resetHeader
	tune     *tuning // nil without faults

	// closeAt ends TIME-WAIT, or FIN-WAIT-2 of an orphan.
	closeAt  Time
	lastSent Time // when text was last sent
	counters Counters
}

// sendSpace is the send sequence space (RFC 9293, 3.3.1, figure 3).
type sendSpace struct {
	una    Seq
	nxt    Seq
	iss    Seq
	wl1    Seq
	wl2    Seq
	scale  uint8
	wnd    int // octets, scaled (REC-1)
	maxWnd int // the largest window the peer has ever offered
	mss    int // effective send MSS: payload octets in one packet (MUST-16)
}

// receiveSpace is the receive sequence space (RFC 9293, 3.3.1, figure 4).
type receiveSpace struct {
	nxt   Seq
	irs   Seq
	edge  Seq // right edge of the window last advertised: it never moves left (SHLD-14)
	scale uint8
	// peerScales tells that both sides sent the window scale option.
	peerScales bool
	mss        int // largest payload seen in one packet, at most what we announced
}

// Counters are what one endpoint has done.
type Counters struct {
	SegmentsIn, SegmentsOut   uint64
	OctetsIn, OctetsOut       uint64 // payload, in order and acknowledged
	Retransmits, Timeouts     uint32
	FastRecoveries, DupACKsIn uint32
}

// due is the set of segments that PollSegment owes.
type due uint8

const (
	dueSYN due = 1 << iota // SYN or SYN-ACK, by state
	dueACK
	dueRST
	dueProbe // zero-window probe or tail loss probe
	dueChallenge
	dueKeepAlive
)

// State is the connection's state (RFC 9293, 3.3.2).
func (e *Endpoint) State() State { return e.state }

// LastState is the state before CLOSED, or the present one.
func (e *Endpoint) LastState() State {
	if e.state == Closed {
		return e.last
	}
	return e.state
}

// TakeEvents returns what has happened since the last call.
func (e *Endpoint) TakeEvents() Events {
	ev := e.events
	e.events = 0
	return ev
}

// legal lists, for each state, the states that may follow it: the arrows of
// RFC 9293, figure 5. CLOSED may follow any state (RST, R2, ABORT).
var legal = [numStates][]State{
	Closed:      {Listen, SynSent},
	Listen:      {SynReceived, SynSent},
	SynSent:     {Established, SynReceived},
	SynReceived: {Established, FinWait1, CloseWait, Listen},
	Established: {FinWait1, CloseWait},
	FinWait1:    {FinWait2, Closing, TimeWait},
	FinWait2:    {TimeWait},
	CloseWait:   {LastAck},
	Closing:     {TimeWait},
	LastAck:     {},
	TimeWait:    {},
}

// setState is the only place where the state changes. An arrow that the RFC
// does not have is a fault of our own code.
func (e *Endpoint) setState(s State) {
	if s == e.state {
		return
	}
	ok := s == Closed
	for _, next := range legal[e.state] {
		ok = ok || next == s
	}
	if !ok {
		panic("endpoint: no transition from " + e.state.String() + " to " + s.String())
	}
	e.last = e.state
	e.state = s
	switch s {
	case Established:
		e.events |= EventEstablished
	case TimeWait:
		e.events |= EventTimeWait
	case Closed:
		e.events |= EventClosed
	}
}

// synchronized tells that both sides know each other's sequence numbers
// (RFC 9293, 3.5.2: group 3 of states).
func (e *Endpoint) synchronized() bool { return e.state >= Established }

// delete ends the connection: no segment but a due RST will leave any more.
func (e *Endpoint) delete(why Events) {
	e.events |= why
	e.setState(Closed)
	e.due &= dueRST
	e.timer.disarm()
	e.ack.at = Never
	e.closeAt = Never
	e.keep.at = Never
	e.dropHeld()
	e.out.release()
	e.inflight.reset()
	e.in.releaseReassembly()
}

// Release gives all buffers back. The endpoint is CLOSED afterwards and must
// not be used but for its getters.
func (e *Endpoint) Release() {
	if e.state != Closed {
		e.delete(0)
	}
	e.due = 0
	e.in.release()
}
