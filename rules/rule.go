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
	// SimultaneousClose sends our FIN to each peer at the moment its own is
	// under way, and SimultaneousOpen answers the SYN-ACK of a willing server
	// as if it were its SYN: the rare states of RFC 9293, 3.5 and 3.6.
	SimultaneousClose bool
	SimultaneousOpen  bool

	*life
	version  uint64 // within the life, from 1
	disabled atomic.Bool
}

// Conn is what a rule can ask about a new connection.
type Conn struct {
	Client, Server netip.AddrPort
	At             time.Duration // since the program's start
}
