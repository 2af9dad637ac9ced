package rules

import "time"

// Leg names the side of a connection that something is done to.
type Leg uint8

// The legs.
const (
	Client Leg = iota
	Server
)

// String gives the name that the configuration uses.
func (l Leg) String() string {
	if l == Client {
		return "client"
	}
	return "server"
}

// On says what a fault acts on: a kind of segment, or a moment in the life of
// a leg.
type On uint8

// The kinds of segments, and the moments, from Established on.
const (
	Any          On = iota
	SYN             // without ACK
	SYNACK          // the answer to it
	HandshakeACK    // the third segment of the handshake
	ACK             // no data, no SYN, no FIN; not the third segment, not the last ACK, not a window update
	Data            // carries octets of the stream
	FIN             // with or without data
	LastACK         // the ACK of the peer's FIN, without data
	RST
	WindowUpdate // an ACK that changes nothing but the window

	Established // the leg's handshake is complete
	FirstByte   // the first octet of the stream has arrived on the leg
	Closing     // the first FIN of the leg was sent or has arrived
	HalfClosed  // one FIN of the leg is acknowledged, the other not sent
)

// Moment tells that o is a moment and not a kind of segment.
func (o On) Moment() bool { return o >= Established }

// Do says what a fault does.
type Do uint8

// What is done to segments, and, from Reset on, at moments.
const (
	Delay     Do = iota // send or let in later, by By, give or take Jitter
	Lose                // "drop": the wire loses it; retransmission repairs that
	Duplicate           // Copies more of it
	Reorder             // it follows the next Behind segments of its leg and direction
	Corrupt             // one bit is wrong, and so the checksum
	Hold                // kept until the moment Until
	Split               // sent as segments of at most Size octets
	Rewrite             // header fields are written anew

	// ResetLeg is "reset": RST to Legs, those of both if none is named; if to
	// one alone, the other peer is not told, and is answered as before.
	ResetLeg
	// SendFIN is "fin": our FIN, though the other peer has not closed. What
	// that one still sends is acknowledged to it, and thrown away; when the leg
	// is over, it is given up 20 minutes after its last segment.
	SendFIN
	// Vanish lets the leg neither send nor answer any more. The other leg goes
	// on: its peer is acknowledged until the buffers are full. The connection
	// is given up 20 minutes after the last segment of either peer.
	Vanish
	// Stall shuts the leg's window for the time By, at once. What the peer had
	// under way is taken, for it was promised.
	Stall
	Dribble       // the leg's window is never more than Size octets
	ICMP          // the peer gets "unreachable" with Code
	WithholdACKs  // the leg does not acknowledge for the time By, 0: for ever
	StretchACKs   // one acknowledgement for N segments
	DuplicateACKs // N copies of the leg's last acknowledgement
	Refuse        // the SYN is answered with RST
	Ignore        // the SYN is answered with nothing
	AcceptThenDie // the handshake is completed, and then RST
)

// Optional is a value that may be left unsaid.
type Optional[T any] struct {
	Value T
	Set   bool
}

// Some is a value that was said.
func Some[T any](v T) Optional[T] { return Optional[T]{v, true} }

// Octets is a part of a stream: positions from From, included, to To, not
// included; the first octet is 0. The zero value is all of it.
type Octets struct{ From, To uint64 }

// Which chooses among the segments, or moments, that a fault is on; the zero
// value is all of them.
//
// On segments, Nth, First and Every count those of one connection that all the
// other choices leave, from 1. A moment comes once to a leg, so that there
// they count the connections that the rule has decided, from 1. Of Refuse and
// Ignore, and of ICMP on a SYN, they count the tries: every SYN that comes to
// the rule, from any client, is one, also a SYN that is sent again, for
// silence is what makes a client do that.
type Which struct {
	Nth, First, Every uint64
	// Probability that one is chosen, above 0 and at most 1; the zero value
	// is 1. Chance depends on the rule's seed, the ordinal of the connection
	// (of a SYN, the number of the try) and the count, and on nothing else.
	Probability float64
	Bytes       Octets // the segment carries one of these octets
	// After and For are counted from when the leg was ESTABLISHED: nothing
	// before After, nothing from After+For on. For a moment, After is how
	// long after it the fault acts.
	After, For  time.Duration
	Retransmits Optional[bool] // only retransmissions, or only the others
}

// Header are the fields that Rewrite changes.
type Header struct {
	Window, Urgent Optional[uint16]
	Flags          Optional[uint8] // all eight, as in octet 13 of the header
	TTL, DSCP      Optional[uint8]
}

// Fault is one thing done to one leg's segments, or at its moments. Fields
// that its Do has no use for are zero.
type Fault struct {
	Leg Leg
	In  bool // acts on what arrives at us, not on what we send
	On  On
	Do  Do
	Which

	By, Jitter time.Duration
	Copies     int
	Behind     int
	Until      On
	Size       int
	N          int
	Code       uint8
	Legs       [2]bool // of ResetLeg: which legs get the RST
	Header     Header
}
