package endpoint

import "net/netip"

// Tuple names one direction of a connection: who sends and who receives.
// IPv4 addresses are held in their IPv4-mapped form, so that a Tuple is a
// plain value that a map can use as its key.
type Tuple struct {
	Src, Dst         [16]byte
	SrcPort, DstPort uint16
}

// NewTuple makes the tuple of packets from src to dst.
func NewTuple(src, dst netip.AddrPort) Tuple {
	return Tuple{Src: src.Addr().As16(), Dst: dst.Addr().As16(), SrcPort: src.Port(), DstPort: dst.Port()}
}

// Reverse is the tuple of the packets that go the other way.
func (t Tuple) Reverse() Tuple {
	return Tuple{Src: t.Dst, Dst: t.Src, SrcPort: t.DstPort, DstPort: t.SrcPort}
}

// IsIPv4 tells the family: that of the source address.
func (t *Tuple) IsIPv4() bool { return netip.AddrFrom16(t.Src).Is4In6() }

// Source is the sender's address and port.
func (t *Tuple) Source() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(t.Src).Unmap(), t.SrcPort)
}

// Destination is the receiver's address and port.
func (t *Tuple) Destination() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(t.Dst).Unmap(), t.DstPort)
}

// Leg names the two sides of a spliced connection.
type Leg uint8

// The two legs.
const (
	Client Leg = iota
	Server
)

// Other is the leg across the splice.
func (l Leg) Other() Leg { return 1 - l }

func (l Leg) String() string {
	if l == Client {
		return "client"
	}
	return "server"
}

// Hook tells at which point of the kernel's path a packet was taken.
type Hook uint8

// The points where packets are taken.
const (
	// Early is before connection tracking and NAT: the addresses are those
	// on the wire. Everything but new connections is taken here on its way
	// to a server; whatever is not ours is let go on.
	Early Hook = iota
	// Late is after the host's filter, before source NAT and after its
	// undoing: new connections, and what servers send.
	Late
)

// Packet is a TCP packet or an ICMP error as it was taken from the kernel.
type Packet struct {
	Tuple
	Segment
	Hook Hook
	// Loopback tells that the packet is on its way from the host to itself,
	// over the loopback device.
	Loopback bool
	// TTL and DSCP of the IP header.
	TTL  uint8
	DSCP uint8
	// Original is, for a SYN whose destination the host translated, the
	// destination that the client had put there; the zero value means that
	// it was not translated.
	Original netip.AddrPort
	// ICMP is set for an ICMP error; Tuple and Segment.Seq then are those of
	// the packet quoted in it.
	ICMP *ICMPError
	// Raw is the whole IP packet, valid during the call.
	Raw []byte
}

// ICMPError is an ICMP (v4 or v6) error about a segment of ours.
type ICMPError struct {
	// From is the address of the reporting router or host.
	From netip.Addr
	// To is the address the error was sent to.
	To   netip.Addr
	Type uint8
	Code uint8
	// MTU is the next-hop MTU of "fragmentation needed" and "packet too
	// big", 0 where the message gives none.
	MTU int
}

// Verdict is what becomes of a packet in the kernel.
type Verdict uint8

// The verdicts.
const (
	// Take: the packet is ours; the kernel drops its copy.
	Take Verdict = iota
	// Accept: not ours; it goes on untouched.
	Accept
)

// IPHeader is what of the IP header of a segment is the user's choice. ECN
// is the endpoint's, in Segment.
type IPHeader struct {
	TTL  uint8 // hop limit; 0 means 64
	DSCP uint8 // six bits (MUST-48)
	// Loopback sends the segment over the loopback device: its sender and its
	// receiver are the host itself.
	Loopback bool
	// Corrupt, if not 0, is for fault injection: the bit of the TCP segment
	// that is inverted after the checksum was made, the first being 1. Bits
	// up to 160 are those of the header without options, later ones those of
	// the payload; octets and bits count from the left.
	Corrupt uint32
}
