package endpoint

import "time"

// Config is how a kind of endpoint behaves. One Config is shared by many
// endpoints and never changes; what is each connection's own is in Open.
type Config struct {
	// Pool is where received octets are kept; nil makes garbage-collected
	// memory of it, with no limit but the windows.
	Pool *Pool

	ReceiveBuffer int // octets that may wait for the user, 1 to 1 GiB
	SendBuffer    int // octets that may wait for the peer's acknowledgement

	InitialWindow int           // of congestion control, in segments (RFC 6928: 10)
	AckDelay      time.Duration // delayed ACK, below 500 ms (MUST-40)
	AckEvery      int           // full-sized segments that are acknowledged at once (SHLD-19: 2); 0: every segment is
	// QuickACKs is how many of the first segments that arrive, the handshake's
	// counted, are acknowledged at once, for a sender in slow start has use for
	// each ACK (as Linux does; RFC 5681, 4.2 allows it).
	QuickACKs int

	// OptionLayout is the order of the options in SYN and SYN-ACK.
	OptionLayout OptionLayout

	// MinRTO bounds the RTO from below. We depart from the 1 s of RFC 6298,
	// 2.4 with a default of 200 ms because a second was the answer to clocks
	// of 500 ms; a needless timeout is recognised by timestamps and undone.
	MinRTO     time.Duration
	MaxRTO     time.Duration // at least 60 s (RFC 6298, 2.5)
	InitialRTO time.Duration // 1 s (RFC 6298, 2.1)
	SYNRetries int           // retransmissions of a SYN before giving up: 3 minutes at least (MUST-23)
	// SYNACKRetries is the same for a SYN-ACK. We depart from the RFC's 3
	// minutes there, because what waits for the ACK is a half-open handshake
	// that anybody can cause.
	SYNACKRetries int
	R1            int // retransmissions of data before the user is told (SHLD-10: at least 3)
	// R2 is the time without progress before the connection is given up
	// (SHLD-11: at least 100 s): the user timeout. It is not announced to the
	// peer as RFC 5482 would have it, for the peer's own is across the splice.
	R2 time.Duration
	// BlackHole is after how many timeouts in a row smaller packets are tried,
	// because a router may drop what is too big without a word (RFC 4821,
	// 7.7); 0 is never.
	BlackHole  int
	Congestion string        // "cubic" (RFC 9438; the default) or "newreno"
	MSL        time.Duration // TIME-WAIT lasts twice as long (MUST-13)
	Nagle      bool          // a relay leaves it off (MUST-17)
	// Orphan is how long FIN-WAIT-2 may last once the user will not read
	// any more; 0 means for ever.
	Orphan time.Duration

	KeepAlive KeepAlive
}

// DefaultConfig returns the values that hold when nothing else is said.
func DefaultConfig() Config {
	return Config{
		ReceiveBuffer: 4 << 20,
		SendBuffer:    4 << 20,
		InitialWindow: 10,
		AckDelay:      40 * time.Millisecond,
		AckEvery:      2,
		MinRTO:        200 * time.Millisecond,
		MaxRTO:        120 * time.Second,
		InitialRTO:    time.Second,
		SYNRetries:    7,
		SYNACKRetries: 6,
		R1:            3,
		BlackHole:     4,
		R2:            15 * time.Minute,
		MSL:           30 * time.Second,
	}
}

// Open is what the active or passive OPEN of one connection says
// (RFC 9293, 3.9.1.1).
type Open struct {
	ISS      Seq    // initial send sequence number; see ISNGenerator
	TSOffset uint32 // added to the clock of the timestamps option (RFC 7323, 5.4)
	IPv6     bool   // decides the default MSS (MUST-15)

	// MSS is announced to the peer; MTU is that of the path to it, from
	// which the effective send MSS follows (MUST-16). Both in octets.
	MSS int
	MTU int

	// Offered in our SYN, or allowed in our SYN-ACK if the peer's SYN has it.
	WindowScale int // shift count 0 to 14; -1 leaves the option out
	SACK        bool
	Timestamps  bool
	ECN         bool

	// Holder holds back what has been decided; nil holds nothing.
	Holder Holder

	// SYNWindow is what the SYN or SYN-ACK offers, in octets, at most what
	// the buffer holds; 0 means all of that.
	SYNWindow uint16
}
