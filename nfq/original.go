package nfq

import (
	"encoding/binary"
	"net/netip"
	"time"

	"tcpmitm/endpoint"
)

const (
	// originalSlots bounds the SYNs whose destination is remembered.
	originalSlots = 1024
	// originalLife is how long a SYN may take from the one hook to the
	// other; in fact it takes microseconds, unless the host is stalled.
	originalLife = 5 * time.Second
)

// originals remembers where SYNs to the host's own addresses were sent,
// before NAT and until they are met again after it. Kernels that put the
// conntrack entry into the message need it not.
//
// It is direct-mapped: a collision overwrites, so it needs no cleaning and a
// flood cannot make it grow. A SYN that was overwritten is spliced as if
// nobody had translated it; its sender then sees no answer and tries again.
type originals struct {
	slots [originalSlots]originalSlot
}

type originalSlot struct {
	client     [16]byte
	clientPort uint16
	port       uint16
	isn        endpoint.Seq
	dst        [16]byte
	until      endpoint.Time
}

func (o *originals) slot(p *endpoint.Packet) *originalSlot {
	h := uint32(p.Seq) ^ uint32(p.SrcPort)<<16 ^ binary.BigEndian.Uint32(p.Src[12:])
	h *= 0x9e3779b1 // 2^32 divided by the golden ratio spreads the low bits to the high ones
	return &o.slots[h>>22]
}

func (o *originals) remember(now endpoint.Time, p *endpoint.Packet) {
	*o.slot(p) = originalSlot{
		client: p.Src, clientPort: p.SrcPort, isn: p.Seq,
		dst: p.Dst, port: p.DstPort, until: now.Add(originalLife),
	}
}

// recall returns the remembered destination of the SYN, or the zero value.
func (o *originals) recall(now endpoint.Time, p *endpoint.Packet) netip.AddrPort {
	s := o.slot(p)
	if s.until < now || s.isn != p.Seq || s.clientPort != p.SrcPort || s.client != p.Src {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(s.dst).Unmap(), s.port)
}
