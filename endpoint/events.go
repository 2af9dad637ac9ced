package endpoint

// Events is a set of things that happened to a connection since the user
// last asked. There is no queue of them, so there is nothing to overflow.
type Events uint16

// The events.
const (
	// EventEstablished: the handshake is complete.
	EventEstablished Events = 1 << iota
	// EventReadable: octets can be read.
	EventReadable
	// EventWritable: octets that were in the way of Write were acknowledged.
	EventWritable
	// EventPeerClosed: the peer's FIN has arrived, with all octets before it
	// (MUST-12: a normal close).
	EventPeerClosed
	// EventReset: the peer's RST ended the connection (MUST-12: an abort).
	EventReset
	// EventRefused: the peer's RST answered our SYN.
	EventRefused
	// EventTimeout: the peer did not answer for R2 (MUST-20).
	EventTimeout
	// EventTrouble: more than R1 retransmissions (SHLD-9).
	EventTrouble
	// EventSoftError: an ICMP error that does not end the connection
	// (MUST-47); see Info.
	EventSoftError
	// EventUrgent: the urgent pointer arrived or advanced (MUST-32).
	EventUrgent
	// EventTimeWait: both FINs are acknowledged and only 2 MSL remain.
	EventTimeWait
	// EventClosed: the connection is CLOSED; the endpoint is done.
	EventClosed
	// EventFINDeferred: the peer's FIN has arrived, with all octets before it,
	// and is not taken yet (Tuning.DeferFIN).
	EventFINDeferred
)

// Has tells whether any event of g is in e.
func (e Events) Has(g Events) bool { return e&g != 0 }
