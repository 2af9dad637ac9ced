package splice

import "tcpmitm/endpoint"

// Termination is how a leg ended, in two letters: who or what ended it, and
// in which phase. docs/termination-codes.md explains them, and a test keeps
// that table and these equal.
type Termination [2]byte

// InOrder is the code of a leg on which both FINs were exchanged.
var InOrder = Termination{'-', '-'}

// String gives the two letters, for example "sD".
func (t Termination) String() string {
	if t[0] == 0 {
		return ""
	}
	return string(t[:])
}

// Letter is one letter of a code and what it means.
type Letter struct {
	Letter  byte
	Meaning string
}

// Enders are the first letters.
var Enders = []Letter{
	{'-', "in order: both FINs were exchanged and acknowledged"},
	{'C', "the client reset the connection, or gave it up for a new one"},
	{'S', "the server reset the connection, or refused it"},
	{'c', "the client fell silent"},
	{'s', "the server fell silent"},
	{'U', "an ICMP error reported the server as unreachable"},
	{'R', "a rule ended it"},
	{'K', "tcpmitm was stopped"},
	{'O', "an operator ended it"},
	{'I', "tcpmitm gave the leg up for a reason of its own"},
}

// Phases are the second letters.
var Phases = []Letter{
	{'-', "after the end: nothing was left to do"},
	{'N', "never begun: no SYN was sent or taken on this leg"},
	{'C', "connecting: there was a SYN, and no SYN-ACK"},
	{'H', "handshake: there was a SYN-ACK, and no ACK of it"},
	{'E', "established, without an octet from this leg's peer so far"},
	{'D', "data: octets had come from this leg's peer"},
	{'F', "finishing: one FIN at least was sent or had arrived"},
}

// letterOf is the first letter for a way of ending that begins with somebody,
// or 0 for a FIN, which ends nothing by itself.
func letterOf(who string, how How) byte {
	switch how {
	case ByFIN:
		return 0
	case ByUnreachable:
		return 'U'
	case ByRule:
		return 'R'
	case ByShutdown:
		return 'K'
	case ByOperator:
		return 'O'
	}
	silent := byte(0)
	if how == ByTimeout {
		silent = 'a' - 'A'
	}
	switch who {
	case endpoint.Client.String():
		return 'C' + silent
	case endpoint.Server.String():
		return 'S' + silent
	}
	return 'I'
}

// ended notes on a leg what has ended it, unless something else has before.
func (f *flow) ended(l endpoint.Leg) {
	if r := &f.legs[l].record; r.ender == 0 {
		r.ender = f.cause
	}
}

// termination is the code of a leg of a connection that is over.
func (f *flow) termination(l endpoint.Leg) Termination {
	leg := &f.legs[l]
	who := leg.record.ender
	if who == 0 && (leg.last == endpoint.TimeWait || leg.last == endpoint.LastAck) {
		return InOrder
	}
	// A leg that never had an endpoint was not told of the end.
	if who == 0 {
		who = f.cause
	}
	if who == 0 {
		who = 'I'
	}
	return Termination{who, leg.phase()}
}

// phase is how far a leg has come.
func (l *leg) phase() byte {
	switch l.last {
	case endpoint.Closed:
		return 'N'
	case endpoint.Listen, endpoint.SynSent:
		return 'C'
	case endpoint.SynReceived:
		return 'H'
	case endpoint.Established:
		if l.record.firstByte == 0 {
			return 'E'
		}
		return 'D'
	}
	return 'F'
}
