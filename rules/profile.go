package rules

import "time"

// ISNMode says where initial sequence numbers come from.
type ISNMode uint8

// The modes.
const (
	ISNClock  ISNMode = iota // clock and keyed hash (RFC 6528): the default
	ISNRandom                // all 32 bits random
	ISNFixed                 // the same number for each connection
)

// ISN is a choice of initial sequence numbers.
type ISN struct {
	Mode  ISNMode
	Fixed uint32 // of ISNFixed
}

// KeepAlive is when a silent peer is probed; Idle 0 switches it off.
type KeepAlive struct {
	Idle, Interval time.Duration
	Count          int
}

// Profile says how an endpoint behaves, where it is not to do what all others
// do. Each field may be left unsaid.
type Profile struct {
	MSS           Optional[int] // announced, and sent at most; 0 leaves the option out; octets
	Window        Optional[int] // receive window, at most; octets
	WindowScale   Optional[int] // shift count 0 to 14; -1 leaves the option out
	SACK          Optional[bool]
	Timestamps    Optional[bool]
	ECN           Optional[bool]
	ISN           Optional[ISN]
	ACKDelay      Optional[time.Duration] // 0: each segment is acknowledged at once
	TimeWait      Optional[time.Duration] // all of it, 2 MSL
	SYNRetries    Optional[int]
	UserTimeout   Optional[time.Duration] // R2: without progress for so long, the connection is given up
	KeepAlive     Optional[KeepAlive]
	Congestion    Optional[string] // "cubic" or "newreno"
	InitialWindow Optional[int]    // of congestion control, segments
	TTL           Optional[uint8]
	DSCP          Optional[uint8]
}
