package endpoint

// Seq is a TCP sequence number. Comparison is modulo 2^32 (RFC 9293, 3.4):
// the ordinary operators < and > are never right for two of them.
type Seq uint32

// Before tells whether s comes before t.
func (s Seq) Before(t Seq) bool { return int32(s-t) < 0 }

// After tells whether s comes after t.
func (s Seq) After(t Seq) bool { return int32(s-t) > 0 }

// AtMost tells whether s comes before t or equals it.
func (s Seq) AtMost(t Seq) bool { return int32(s-t) <= 0 }

// AtLeast tells whether s comes after t or equals it.
func (s Seq) AtLeast(t Seq) bool { return int32(s-t) >= 0 }

// Plus returns the sequence number n octets on; n may be negative.
func (s Seq) Plus(n int) Seq { return s + Seq(uint32(int32(n))) }

// To returns the distance in octets from s on to t, negative if t comes before s.
func (s Seq) To(t Seq) int { return int(int32(t - s)) }

func maxSeq(a, b Seq) Seq {
	if a.After(b) {
		return a
	}
	return b
}

func minSeq(a, b Seq) Seq {
	if a.Before(b) {
		return a
	}
	return b
}
