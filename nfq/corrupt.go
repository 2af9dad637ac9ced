package nfq

import (
	"encoding/binary"

	"tcpmitm/endpoint"
)

// corrupt writes a packet, whose headers are b, with one wrong bit in its TCP
// segment and the checksum of the right one. The kernel must not sum it up, so
// we do; and the payload, which the endpoint may have to send again, is
// copied.
func (o *output) corrupt(w way, b []byte, tcpAt int, pseudo uint64, bit uint32, s *endpoint.Segment) error {
	o.spill = append(o.spill[:0], s.Payload...)
	for _, p := range s.Pieces {
		o.spill = append(o.spill, p...)
	}
	var v vnetHeader
	v.put(b)
	tcp := b[tcpAt:]
	binary.BigEndian.PutUint16(tcp[checksumAt:], ^fold(sum(sum(pseudo, tcp), o.spill)))
	at, mask := int(bit/8), byte(0x80)>>(bit%8)
	switch {
	case at < endpoint.HeaderLen:
		tcp[at] ^= mask
	case at-endpoint.HeaderLen < len(o.spill):
		o.spill[at-endpoint.HeaderLen] ^= mask
	}
	n := o.load(1, o.spill, nil)
	return o.write(w, len(b), n, len(b)-vnetHeaderLen+len(o.spill))
}
