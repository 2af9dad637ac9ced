package splice

import (
	"net/netip"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Observer is told what a shard does. Its methods are called on the shard's
// goroutine: they must not block, and they keep nothing that they are given
// but what they copy. A nil Observer costs nothing.
type Observer interface {
	// Segment is called for each segment that a leg of a spliced connection
	// sends or receives, after it has had its effect.
	Segment(e *SegmentEvent)
	// Fault is called for each fault of a rule that fires: for one on a
	// segment before that segment leaves or has its effect, if it still does.
	Fault(e *FaultEvent)
	// Closed is called once for each connection, when it is over: nothing
	// is left of it but, at most, a leg in TIME-WAIT.
	Closed(s *Summary)
}

// SegmentEvent is one segment on one leg.
type SegmentEvent struct {
	At       endpoint.Time
	Conn     uint64 // identity of the connection in this run, from 1
	Client   netip.AddrPort
	Server   netip.AddrPort
	Rule     string // name of the rule, empty if none matched
	Leg      endpoint.Leg
	Out      bool // tcpmitm sent it
	Seq, Ack endpoint.Seq
	ISS, IRS endpoint.Seq // of the leg, for relative numbers; as seen by our endpoint
	Flags    endpoint.Flags
	Window   uint16
	Scale    uint8 // shift that applies to Window
	Options  endpoint.Options
	Len      int
	Before   endpoint.State // of our endpoint on this leg
	After    endpoint.State
	Reason   endpoint.Reason   // why an arriving segment changed nothing, or ReasonNone
	Note     string            // what a rule did to it, for example "held 1s"
	Again    bool              // it occupies sequence space that has all been sent before
	Segment  *endpoint.Segment // with its octets; valid during the call, like all that it points to
}

// FaultEvent is one fault that fired, on a segment or at a moment.
type FaultEvent struct {
	At     endpoint.Time
	Conn   uint64
	Client netip.AddrPort
	Server netip.AddrPort
	Rule   string
	Fault  int    // which of the rule's faults, from 0
	Text   string // the fault as the rule says it, for example "server data drop every 100"
	Leg    endpoint.Leg
	Out    bool // it acted on what we send; false: on what arrived

	// What was done: to a delayed segment By is for how long, jitter
	// included; N is how many copies, pieces, segments or octets, or which
	// bit, as Do has it.
	Do rules.Do
	By time.Duration
	N  int

	// A stream policy (IsStream) does Stream, not Do, to the octets from
	// Position on, and Fault counts the rule's policies.
	IsStream bool
	Stream   rules.Stream
	Position uint64

	// The segment, as it was before the fault. For a fault at a moment that
	// concerns no segment, HasSegment is false and the rest is zero.
	HasSegment bool
	Seq, Ack   endpoint.Seq
	ISS, IRS   endpoint.Seq // of the leg, for relative numbers
	Flags      endpoint.Flags
	Window     uint16
	Len        int
}

// How says how a connection's closing began.
type How uint8

// The ways in which a connection ends.
const (
	ByFIN How = iota
	ByReset
	ByTimeout
	ByRule
	ByRefusal     // the server refused, or an ICMP error did
	ByUnreachable // an ICMP error reported the server as unreachable
	ByShutdown    // tcpmitm stopped
	ByOperator    // an operator ended it
)

// Summary is what remains of a connection that is gone.
type Summary struct {
	Conn           uint64
	Client, Server netip.AddrPort
	Rule           string
	Started        time.Time
	Duration       time.Duration
	ToServer       uint64 // octets the client sent that the server acknowledged
	ToClient       uint64
	FirstClose     string // "client", "server" or "tcpmitm"; by timeout, the one that fell silent
	How            How
	Fault          string         // the rule's fault that began the end, in words; empty if none did
	ClientState    endpoint.State // the leg's last state before CLOSED
	ServerState    endpoint.State
	Legs           [2]LegVerdict
	Fired          []Fired // in the order in which they first did; not to be changed
}
