package rules

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Action is what becomes of a connection.
type Action uint8

// The actions.
const (
	Splice Action = iota // end it twice and relay the bytes
	Pass                 // let it go past us, untouched
	Reset                // answer its SYN with RST
	Drop                 // answer nothing
)

var actionNames = [...]string{"splice", "pass", "reset", "drop"}

// String gives the name that the configuration uses.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "unknown"
}

// Order says who is answered first.
type Order uint8

// The orders.
const (
	ServerFirst Order = iota // the client's SYN waits until the server has answered
	ClientFirst              // the client is answered at once
)

// Leg names the side of a connection that a fault acts on.
type Leg uint8

// The legs.
const (
	Client Leg = iota
	Server
)

// Segment names a kind of segment that a fault acts on.
type Segment uint8

// The kinds of segments that faults know.
const (
	SYNACK Segment = iota
	ACK            // acknowledges data or FIN and carries no data
	FIN
)

// Fault is one thing done to the segments of one leg. For now all faults are
// delays.
type Fault struct {
	Leg Leg
	In  bool // acts on what arrives at us, not on what we send
	On  Segment
	By  time.Duration
}

// Rule is the treatment of the connections that it matches. It never changes
// once it is in a Set, but for its counters.
type Rule struct {
	Name   string
	Match  Match
	Seed   uint64
	Action Action
	Faults []Fault

	reached atomic.Uint64 // connections whose addresses and ports matched
	taken   atomic.Uint64 // of these, the ones that the rule decided
}

// Reached is how many connections came to this rule and matched its addresses
// and ports, whatever every and probability then said.
func (r *Rule) Reached() uint64 { return r.reached.Load() }

// Taken is how many connections this rule decided.
func (r *Rule) Taken() uint64 { return r.taken.Load() }

// Conn is what a rule can ask about a new connection.
type Conn struct {
	Client, Server netip.AddrPort
}
