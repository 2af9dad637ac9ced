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

// Rule is the treatment of the connections that it matches. It never changes
// once it is in a Set, but for its counters and switches: a changed rule is a
// new one that succeeds it (see life.go).
type Rule struct {
	Name   string
	Match  Match
	Seed   uint64
	Action Action
	// Timeline says when, counted from the program's start, the rule matches
	// new connections; none is always.
	Timeline []Span

	// Profiles say how the two endpoints of a connection behave.
	Profiles [2]Profile // by Leg
	Faults   []Fault
	Streams  []Policy
	// SimultaneousClose makes the FINs of a leg cross, so that both ends go
	// through CLOSING (RFC 9293, 3.6, case 3): the FIN of the peer that closes
	// first is passed on, but not acknowledged until the other peer has closed
	// too and our own FIN is under way. No octet is lost by it. A peer whose
	// partner does not close is not kept waiting for more than 20 seconds.
	//
	// SimultaneousOpen answers the client's SYN by a SYN of our own that
	// crosses it, and the SYN-ACK follows: both ends go through SYN-RECEIVED
	// (RFC 9293, 3.5, figure 8). Towards a server in LISTEN there is no such
	// thing, for it answers a SYN in no other way than by SYN-ACK; one that
	// itself calls the client from its port, at the time that it is called,
	// is answered as RFC 9293 has it with or without this.
	SimultaneousClose bool
	SimultaneousOpen  bool

	*life
	version  uint64           // within the life, from 1
	each     []*atomic.Uint64 // how often each fault, and then each policy, has acted
	disabled atomic.Bool
}

// Conn is what a rule can ask about a new connection.
type Conn struct {
	Client, Server netip.AddrPort
	At             time.Duration // since the program's start
}
