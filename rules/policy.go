package rules

import (
	"regexp"
	"time"
)

// Stream says what a policy does to the octets of one direction.
type Stream uint8

// The policies.
const (
	Latency     Stream = iota // each octet is By later, give or take Jitter, in order
	Throttle                  // at most Rate octets a second, Burst at once
	Slice                     // handed on in pieces of Size octets, Gap apart
	Limit                     // after Bytes octets, Then
	Replace                   // Find or Pattern becomes With, also across segment borders
	Insert                    // With, at position At
	Discard                   // the octets of Range are left out
	CorruptData               // "corrupt": one bit of one octet in Every is wrong, of those in Range
	HoldUntil                 // nothing passes before the moment Until, the time By, or Bytes octets have come
)

// Ending says how a limited stream ends.
type Ending uint8

// The endings.
const (
	EndFIN    Ending = iota // FIN to the receiver; what the sender still sends is discarded
	EndReset                // RST to both
	EndVanish               // both legs fall silent
)

// Policy is one thing done to the octets on their way to one leg's peer.
// Policies act in the order of their list.
type Policy struct {
	To Leg
	Do Stream

	By, Jitter time.Duration
	Rate       float64 // octets a second
	Burst      int     // octets
	Size       int     // octets
	Gap        time.Duration
	Bytes      uint64
	Then       Ending
	Find       []byte
	Pattern    *regexp.Regexp // instead of Find
	With       []byte         // for Pattern a template: ${1} is its first group, $$ a dollar
	First      uint64         // at most so many times; 0: no limit
	At         uint64         // position in the stream
	Range      Octets
	Every      uint64
	Until      Optional[On] // a moment, of the leg To
}
