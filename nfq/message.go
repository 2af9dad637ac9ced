package nfq

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Messages of the nfnetlink_queue subsystem and their attributes
// (linux/netfilter/nfnetlink_queue.h).
const (
	msgPacket       = unix.NFNL_SUBSYS_QUEUE<<8 | 0
	msgVerdict      = unix.NFNL_SUBSYS_QUEUE<<8 | 1
	msgVerdictBatch = unix.NFNL_SUBSYS_QUEUE<<8 | 3

	attrPacketHeader = 1
	attrVerdict      = 2
	attrInDevice     = 5
	attrOutDevice    = 6
	attrInPort       = 7 // of a bridge
	attrOutPort      = 8
	attrPayload      = 10
	attrConntrack    = 11
	attrCapLen       = 13
	attrSKBInfo      = 14

	attrTypeMask = 0x3fff // without the nested and byte-order bits
)

// Bits of attrSKBInfo.
const (
	skbChecksumNotReady    = 1 << 0 // the checksum is yet to be filled in
	skbSuper               = 1 << 1 // it is several packets in one
	skbChecksumNotVerified = 1 << 2 // nobody has looked at the checksum
)

// Netfilter's hooks, as a packet's header attribute names them.
const (
	hookPrerouting  = 0
	hookInput       = 1
	hookOutput      = 3
	hookPostrouting = 4
)

// Netlink's lengths in octets.
const (
	nlmsgHeaderLen = 16
	nfgenmsgLen    = 4
	attrHeaderLen  = 4
)

func align4(n int) int { return (n + 3) &^ 3 }

// message is a packet as the queue delivered it. Its slices lie in the
// buffer that the kernel wrote to.
type message struct {
	id       uint32
	hook     uint8
	payload  []byte
	length   int // octets that the packet has; payload may have fewer
	verify   bool
	loopback bool           // it comes from the loopback device, or goes there
	received bool           // it came by some device
	bridged  bool           // and over a bridge
	super    bool           // it is to leave as several packets
	original netip.AddrPort // from conntrack, where the kernel gives it
}

// parse reads the attributes that follow the nfgenmsg of a packet message.
// It reports false if there is no packet header: then there is no id to
// which a verdict could be given.
func (m *message) parse(b []byte) bool {
	*m = message{}
	found := false
	capLen := 0
	for len(b) >= attrHeaderLen {
		n := int(binary.NativeEndian.Uint16(b))
		kind := binary.NativeEndian.Uint16(b[2:]) & attrTypeMask
		if n < attrHeaderLen || n > len(b) {
			break
		}
		v := b[attrHeaderLen:n]
		b = b[min(align4(n), len(b)):]
		switch kind {
		case attrPacketHeader:
			if len(v) >= 7 {
				m.id = binary.BigEndian.Uint32(v)
				m.hook = v[6]
				found = true
			}
		case attrInDevice, attrOutDevice:
			m.received = m.received || kind == attrInDevice
			m.loopback = m.loopback || (len(v) >= 4 && binary.BigEndian.Uint32(v) == loopbackIndex)
		case attrInPort, attrOutPort:
			m.bridged = true
		case attrPayload:
			m.payload = v
		case attrCapLen:
			if len(v) >= 4 {
				capLen = int(binary.BigEndian.Uint32(v))
			}
		case attrSKBInfo:
			if len(v) >= 4 {
				flags := binary.BigEndian.Uint32(v)
				m.super = flags&skbSuper != 0
				m.verify = flags&skbChecksumNotVerified != 0 && flags&skbChecksumNotReady == 0
			}
		case attrConntrack:
			m.original = originalOf(v)
		}
	}
	m.length = max(len(m.payload), capLen)
	return found
}

// Attributes of a conntrack entry (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctaTupleOrig  = 1
	ctaTupleIP    = 1
	ctaTupleProto = 2
	ctaIPv4Dst    = 2
	ctaIPv6Dst    = 4
	ctaDstPort    = 3
)

// originalOf reads the destination of the first packet of a connection, as
// its sender wrote it, from the connection's conntrack entry.
func originalOf(ct []byte) netip.AddrPort {
	tuple := attribute(ct, ctaTupleOrig)
	ip := attribute(tuple, ctaTupleIP)
	port := attribute(attribute(tuple, ctaTupleProto), ctaDstPort)
	if len(port) < 2 {
		return netip.AddrPort{}
	}
	n := binary.BigEndian.Uint16(port)
	if a := attribute(ip, ctaIPv4Dst); len(a) == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a)), n)
	}
	if a := attribute(ip, ctaIPv6Dst); len(a) == 16 {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(a)), n)
	}
	return netip.AddrPort{}
}

// attribute finds the value of the first attribute of a kind, or nil.
func attribute(b []byte, kind uint16) []byte {
	for len(b) >= attrHeaderLen {
		n := int(binary.NativeEndian.Uint16(b))
		if n < attrHeaderLen || n > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&attrTypeMask == kind {
			return b[attrHeaderLen:n]
		}
		b = b[min(align4(n), len(b)):]
	}
	return nil
}
