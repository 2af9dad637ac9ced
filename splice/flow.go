package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/faults"
	"tcpmitm/rules"
)

// phase says what a flow waits for.
type phase uint8

const (
	// knocking: the client's SYN has not come through the faults of its rule.
	// No leg has an endpoint.
	knocking phase = iota
	// dialling: the server has not answered our SYN. Server first, the
	// client's SYN is held meanwhile and the client leg has no endpoint;
	// client first, the client is connected already.
	dialling
	// answering: the client's handshake is in progress.
	answering
	// relaying: both are connected; bytes and FINs are carried.
	relaying
	// lingering: the connection is over and has been reported. What is left
	// is TIME-WAIT, or the duty to tell a peer once more that it was reset.
	lingering
)

// flow is one spliced connection: two legs and what goes on between them. It
// belongs to its shard's goroutine.
type flow struct {
	id     uint64
	phase  phase
	legs   [2]leg
	opened endpoint.Time
	*profile
	by      *rules.Rule // that decided the connection; nil if none matched
	ordinal uint64      // of the connection among those of by, from 1

	// syn is the client's SYN, held while the server is being dialled
	// (server first). Its payload, if any, is not kept: the client sends it
	// again.
	syn *endpoint.Segment
	// lastSYN is when the client sent its SYN last.
	lastSYN endpoint.Time
	// after bounds the ISS of the server leg from below, unless it is nil.
	after *endpoint.Seq
	// mirror is the SYN-ACK of the server, or client first the SYN of the
	// client: what the other leg's options are made from. Afterwards it is nil.
	mirror *endpoint.Options
	ecn    bool // that segment agreed to, or asked for, ECN

	// deadline is the flow's own, beside those of its endpoints.
	deadline endpoint.Time
	timer    timer
	stage    *faults.Stage // nil if the rule has no faults on segments
	acts     *acts         // nil unless the rule has faults at moments, or holds
	pipes    *pipelines    // nil unless the rule has stream policies

	fired []Fired // faults of the rule that have acted

	line       *ledgerLine // nil if nothing is written down
	lineNumber int

	firstClose string // empty while nobody has closed
	how        How
	cause      byte // first letter of the termination codes, once it did not end in order

	// progress and quiet are what was seen at the last looks whether the
	// connection is idle; see Patience.
	progress uint64
	quiet    uint8

	dirty      bool
	gone       bool
	condemned  bool // an operator has ended it
	tallied    bool // its legs are counted by state
	listed     bool // among the lingering ones, not the live ones
	holdsPlace bool
	holdsHalf  bool

	links[flow] // in one of the shard's lists
}

// leg is one side of a flow. The shard is the other side of it.
type leg struct {
	ep     *endpoint.Endpoint // nil before it is opened and after it is let go
	out    endpoint.Tuple     // of what we send
	header Header
	last   endpoint.State // the last state before CLOSED

	// written is how many octets were given to Write: what the other leg's
	// peer has sent and this one's is to get.
	written uint64
	acked   uint64 // of written, when the leg was let go

	urgent     bool // the peer's urgent pointer has moved, and the other peer is to know
	peerClosed bool // the peer's FIN is here, and all before it
	finPassed  bool // CloseWrite was called: the other peer's FIN is passed on
	vanished   bool // by a fault: it neither sends nor answers
	cut        bool // our FIN went before the other peer's: what that one sends is thrown away
	doomed     bool // the other peer is gone, having closed: this one gets the rest, and then a RST
	aborted    bool // ended by a RST: late segments of the peer get another

	came    came      // the moments behind it; only where the rule asks for them
	record  legRecord // for the verdict
	counted           // of that, what the shard's counters have in them

	iss, irs          endpoint.Seq
	shown             endpoint.State // that it is counted as
	scaleIn, scaleOut uint8          // shifts of the windows that arrive and leave
	offered           uint8          // the shift in our SYN
	peerOffered       uint8
	offeredScale      bool
	peerOffersScale   bool

	dataAfterFIN uint16 // segments with new data, of either side, after either FIN; it stops at the largest number
}

// legRef is what the flow table holds: a flow, and which leg the tuple is of.
type legRef struct {
	flow *flow
	leg  endpoint.Leg
}

// in is the tuple of what the peer sends.
func (l *leg) in() endpoint.Tuple { return l.out.Reverse() }

// state is the leg's state as `ss` shows it.
func (l *leg) state() endpoint.State {
	if l.ep == nil {
		return endpoint.Closed
	}
	return l.ep.State()
}

// done tells that nothing will happen on the leg any more but the end of
// TIME-WAIT: it has vanished, or is closed.
func (l *leg) done() bool {
	st := l.state()
	return l.vanished || st == endpoint.Closed || st == endpoint.TimeWait
}

// note keeps what must outlive the endpoint.
func (l *leg) note() {
	if st := l.ep.State(); st != endpoint.Closed {
		l.last = st
	} else {
		l.last = l.ep.LastState()
	}
}

// delivered is how many of the written octets the peer has acknowledged.
func (l *leg) delivered() uint64 {
	if l.ep == nil {
		return l.acked
	}
	i := l.ep.Info()
	// Sequence numbers are modulo 2^32, but what is unacknowledged is far
	// less than that. A FIN counts as one octet behind the last.
	end := i.ISS + 1 + endpoint.Seq(l.written)
	if unacked := i.SndUna.To(end); unacked > 0 {
		return l.written - min(uint64(unacked), l.written)
	}
	return l.written
}

// parted tells that the leg's peer has sent all and its FIN, and has
// acknowledged all but, perhaps, the FIN that was passed on to it.
func (l *leg) parted() bool {
	return l.peerClosed && l.finPassed && l.delivered() == l.written
}

// release lets the endpoint go.
func (l *leg) release() {
	if l.ep != nil {
		l.note()
		l.acked = l.delivered()
		l.ep.Release()
		l.ep = nil
	}
}

// opening tells that the client's SYN waits: for the faults of its rule, or
// for the server.
func (f *flow) opening() bool { return f.syn != nil || f.phase == knocking }
