package endpoint

import "strings"

// Flags are the control bits of RFC 9293, 3.1, as they stand in octet 13 of
// the TCP header.
type Flags uint8

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has tells whether all bits of g are set in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

// String gives the letters of tcpdump: S F R P . U E W.
func (f Flags) String() string {
	if f == 0 {
		return "none"
	}
	var s strings.Builder
	for _, l := range [...]struct {
		f Flags
		c byte
	}{{SYN, 'S'}, {FIN, 'F'}, {RST, 'R'}, {PSH, 'P'}, {URG, 'U'}, {ECE, 'E'}, {CWR, 'W'}, {ACK, '.'}} {
		if f.Has(l.f) {
			s.WriteByte(l.c)
		}
	}
	return s.String()
}

// ECN codepoints of the IP header (RFC 3168, section 5).
const (
	NotECT uint8 = iota
	ECT1
	ECT0
	CE
)

// Segment is one TCP segment: its header's fields and its payload. It may be
// a super-segment of up to 64 KiB that the kernel merged, or will cut, at
// segment borders of MSS octets.
type Segment struct {
	Seq     Seq
	Ack     Seq // meaningful only with the ACK flag
	Flags   Flags
	ECN     uint8  // codepoint of the IP header
	Window  uint16 // as it stands in the header, not scaled
	Urgent  uint16
	Options Options

	// Payload holds the octets of a segment that arrived. If Buffer is not
	// nil, Payload lies in it, and who wants to keep Payload retains Buffer;
	// without a Buffer it is valid only during the call and must be copied.
	Payload []byte
	Buffer  *Buffer

	// Pieces holds the octets of a segment that PollSegment produced, in
	// order; they stay valid until the next call of any method of the
	// endpoint.
	Pieces [][]byte

	// MSS is set by PollSegment when the payload is longer than one packet:
	// the kernel is to cut it into packets of that many payload octets each.
	MSS int
}

// PayloadLen is the number of payload octets.
func (s *Segment) PayloadLen() int {
	n := len(s.Payload)
	for _, p := range s.Pieces {
		n += len(p)
	}
	return n
}

// Len is SEG.LEN: the sequence space that the segment occupies, SYN and FIN
// counted (RFC 9293, 3.4).
func (s *Segment) Len() int {
	n := s.PayloadLen()
	if s.Flags.Has(SYN) {
		n++
	}
	if s.Flags.Has(FIN) {
		n++
	}
	return n
}

// End is the sequence number that follows the segment.
func (s *Segment) End() Seq { return s.Seq.Plus(s.Len()) }
