package endpoint

import "encoding/binary"

// HeaderLen is the length of a TCP header without options; MaxHeaderLen of
// one with all the options that fit.
const (
	HeaderLen    = 20
	MaxHeaderLen = 60
)

// ParseSegment decodes the TCP header at the front of b into s; what follows
// the header becomes s.Payload. ECN and Buffer are left to the caller, who
// has also to verify the checksum. A reason other than ReasonNone means that
// b is no TCP segment and s is not to be used.
func ParseSegment(b []byte, s *Segment) (srcPort, dstPort uint16, why Reason) {
	if len(b) < HeaderLen {
		return 0, 0, ReasonShortHeader
	}
	n := int(b[12]>>4) * 4
	if n < HeaderLen || n > len(b) {
		return 0, 0, ReasonBadHeaderLength
	}
	s.Seq = Seq(binary.BigEndian.Uint32(b[4:]))
	s.Ack = Seq(binary.BigEndian.Uint32(b[8:]))
	s.Flags = Flags(b[13])
	s.Window = binary.BigEndian.Uint16(b[14:])
	s.Urgent = binary.BigEndian.Uint16(b[18:])
	s.Options = Options{}
	if n > HeaderLen {
		parseOptions(b[HeaderLen:n], &s.Options)
	}
	s.Payload = b[n:]
	s.Pieces = nil
	s.MSS = 0
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), ReasonNone
}

// AppendHeader appends the TCP header of s to b, its checksum field zero.
// Options stand in the order that Linux uses, padded with NOP to whole words,
// so nothing but zero can follow an EOL (MUST-69).
func AppendHeader(b []byte, srcPort, dstPort uint16, s *Segment) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Seq))
	b = binary.BigEndian.AppendUint32(b, uint32(s.Ack))
	b = append(b, 0, byte(s.Flags))
	b = binary.BigEndian.AppendUint16(b, s.Window)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, s.Urgent)
	b = appendOptions(b, &s.Options)
	b[at+12] = byte((len(b)-at)/4) << 4
	return b
}
