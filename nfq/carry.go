package nfq

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// A packet that was taken still waits in the kernel for its verdict. Instead of
// being dropped it may go on, with other octets in it (NFQA_PAYLOAD): then it
// carries a segment of ours. One of a server's has been received, routed and
// filtered already and only has to leave, where a segment that enters by a TUN
// device has all of that before it.
//
// A carrier must be of the connection of what it carries, so that the host treats
// it alike: same device, marks, conntrack entry and route. Whatever finds no
// carrier leaves by the TUN device, and so does everything to servers: a client's
// packet was taken before all of this, and would spare the host little.

// carrier is a taken packet in which a segment of ours may go on.
type carrier struct {
	id    uint32
	tuple endpoint.Tuple
}

// carriers are those of one burst, in the order in which they came. The zero
// value has none, and takes none.
type carriers struct {
	on   bool // packets may carry
	left int  // carriers that nobody has used
	n    int
	keys [burstMessages]uint32 // 0 once used
	of   [burstMessages]carrier
}

// carrierKey tells most tuples apart. It is not 0 for ports that are not.
func carrierKey(t *endpoint.Tuple) uint32 { return uint32(t.SrcPort)<<16 | uint32(t.DstPort) }

// add notes a packet that was taken, if it can carry.
func (c *carriers) add(m *message, p *endpoint.Packet) {
	if !c.on || c.n == len(c.of) || p.ICMP != nil || !m.carries() {
		return
	}
	if p.Flags&(endpoint.SYN|endpoint.ACK) == endpoint.SYN {
		return // conntrack has it in another zone than the rest
	}
	c.keys[c.n] = carrierKey(&p.Tuple)
	c.of[c.n] = carrier{m.id, p.Tuple}
	c.n++
	c.left++
}

// take finds a carrier for a segment of t to a client, which is then used; nil if
// there is none.
func (c *carriers) take(t *endpoint.Tuple) *carrier {
	if c.left == 0 {
		return nil
	}
	key := carrierKey(t)
	for i, k := range c.keys[:c.n] {
		if k == key && k != 0 && c.of[i].tuple == *t {
			c.keys[i] = 0
			c.left--
			return &c.of[i]
		}
	}
	return nil
}

// leave gives up the carriers of t: a packet of it leaves by the device now, and on
// a link with several queues one that is carried might overtake it.
func (c *carriers) leave(t *endpoint.Tuple) {
	for c.left > 0 && c.take(t) != nil {
	}
}

// clear forgets all: their verdicts are given.
func (c *carriers) clear() { c.n, c.left = 0, 0 }

// carries tells whether another packet can be put into the message's: it is about
// to be forwarded, is no super-packet, has a plain header, and came over no bridge.
func (m *message) carries() bool {
	b := m.payload
	if m.hook != hookPostrouting || !m.received || m.super || m.bridged || m.loopback || m.length != len(b) || len(b) < ipv4HeaderLen {
		return false
	}
	if b[0] == 0x45 {
		// The kernel takes apart again what it has put together of fragments,
		// and such a packet mostly has no DF.
		return b[6] == 0x40 && b[7] == 0
	}
	return b[0]>>4 == 6 && len(b) >= ipv6HeaderLen && b[6] == protoTCP
}

// carryHeader is the length in octets of a verdict message up to the packet.
const carryHeader = verdictLen + attrHeaderLen

// maxCarried is the longest packet that is carried, in octets.
const maxCarried = slotSize - carryHeader

// putCarry writes a verdict message with room for a packet of length octets, and
// returns that room.
func putCarry(b []byte, queue uint16, id uint32, length int) []byte {
	// The host's own rules behind ours in the same chain are to see it, too:
	// our mark, by which it was taken, is gone.
	putVerdict(b, msgVerdict, queue, nfRepeat, id)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[verdictLen:], uint16(attrHeaderLen+length))
	binary.NativeEndian.PutUint16(b[verdictLen+2:], attrPayload)
	clear(b[carryHeader+length:])
	return b[carryHeader:][:length]
}

// carry puts a segment into a packet that was taken, whose verdict that is.
// headers are IP's and TCP's, from the IP header on; pseudo is the sum of the
// pseudo-header, and tcp is where the TCP header begins.
func (o *output) carry(c *carrier, headers []byte, tcp int, pseudo uint64, s *endpoint.Segment, length int) {
	size := align4(carryHeader + length)
	slot := o.batch.append(o.verdicts.fd, size, o.verdicts.written)
	waits := slot != nil
	if !waits {
		slot = o.carried[:size]
	}
	packet := putCarry(slot, o.verdicts.others.queue, c.id, length)
	at := copy(packet, headers)
	at += copy(packet[at:], s.Payload)
	for _, p := range s.Pieces {
		at += copy(packet[at:], p)
	}
	// Nobody else fills in the checksum.
	segment := packet[tcp:]
	segment[checksumAt], segment[checksumAt+1] = 0, 0
	binary.BigEndian.PutUint16(segment[checksumAt:], ^fold(sum(pseudo, segment)))
	if !waits {
		o.verdicts.give(slot)
	}
	o.verdicts.others.spare()
	o.counters.Packets++
	o.counters.Carried++
	o.counters.Octets += uint64(length)
}

// firstUserNamespace is the inode of the user namespace that the host itself is in
// (PROC_USER_INIT_INO).
const firstUserNamespace = 0xeffffffd

// mayCarry tells whether the kernel lets a packet go on with other octets, in the
// network namespace of the calling thread. It does not where that belongs to
// another user namespace than the host's, as in a rootless container: there, newer
// kernels drop the packet and call it no error.
func mayCarry() bool {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	owner, err := unix.IoctlRetInt(fd, unix.NS_GET_USERNS)
	if err != nil {
		return false // it is above ours, and whose is not for us to know
	}
	defer unix.Close(owner)
	var st unix.Stat_t
	return unix.Fstat(owner, &st) == nil && st.Ino == firstUserNamespace
}
