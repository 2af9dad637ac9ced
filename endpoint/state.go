package endpoint

// State is a connection's state (RFC 9293, 3.3.2).
type State uint8

// The eleven states.
const (
	Closed State = iota
	Listen
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
	numStates
)

var stateNames = [numStates]string{
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED",
	"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String gives the RFC's name of the state, for example SYN-RECEIVED.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "unknown"
}

var ssNames = [numStates]string{
	"UNCONN", "LISTEN", "SYN-SENT", "SYN-RECV", "ESTAB",
	"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// SS gives the name that ss(8) prints, for example SYN-RECV.
func (s State) SS() string {
	if s < numStates {
		return ssNames[s]
	}
	return "UNKNOWN"
}
