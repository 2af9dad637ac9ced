package nfq

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// SendCounters say what went out.
type SendCounters struct {
	Packets uint64 // a super-packet is one
	Carried uint64 // of these: in packets that had been taken; the others by the devices
	Octets  uint64 // of the packets, from the IP header on
	Lost    uint64 // packets that the kernel did not take
}

const (
	// maxVectors bounds the pieces of one packet that are written where they
	// lie, the header included (UIO_MAXIOV, less one for a link header).
	// Pieces beyond are copied together.
	maxVectors = 1023
	// maxHeaders is the room for all headers of a packet: that for the TUN
	// driver, IP with options or some extension headers, TCP with all options.
	maxHeaders = vnetHeaderLen + 128 + endpoint.MaxHeaderLen
	// maxICMP is the length of the longest ICMP error that we compose.
	maxICMP = 2*ipv6HeaderLen + icmpHeaderLen + endpoint.MaxHeaderLen
)

// Errors of Send and its kind: packets that cannot be written as they were
// asked for. They are mistakes of the caller.
var (
	errTooLong = errors.New("packet longer than IP allows")
	errNotIP   = errors.New("no whole IP packet")
)

// way is where a packet leaves: towards the peer of a leg, through the leg's
// TUN device or over the loopback device.
type way struct {
	leg      endpoint.Leg
	loopback bool
}

// output writes packets to the TUN devices of one shard, and to its sockets
// on the loopback device, or puts them into packets that were taken.
type output struct {
	fds      [2]int // TUN devices, by leg
	loopback [2]int // packet sockets, by leg; -1 where there are none
	id       uint16 // of the next IPv4 header
	link     linkHeader
	head     [maxHeaders]byte
	icmp     [maxICMP]byte // an ICMP error being composed
	// vectors are the pieces of the packet, the head first. In front of it is
	// room for a link header.
	vectors  []unix.Iovec
	spill    []byte // pieces that found no vector; made when first needed
	counters SendCounters

	linked [1 + maxVectors]unix.Iovec // vectors, and the link header in front

	carriers carriers       // what of the last burst can go on
	verdicts verdictWay     // to the queue that it waits in
	carried  [slotSize]byte // one verdict being composed

	batch   *batch // what waits to be written together
	written func(n int, errno unix.Errno)
}

// verdictWay is the way to a queue for verdicts with a packet in them.
type verdictWay struct {
	fd      int
	others  *verdicts // of the same burst
	written func(n int, errno unix.Errno)
	give    func(b []byte)
}

// newOutput makes an output whose small packets wait in a batch; a nil one
// lets none wait.
func newOutput(fds, loopback [2]int, b *batch) *output {
	o := &output{fds: fds, loopback: loopback, batch: b}
	o.written = o.count
	o.vectors = o.linked[1:]
	o.linked[0].Base = &o.link[0]
	o.linked[0].SetLen(len(o.link))
	return o
}

// write sends head and the vectors from 1 to n-1 as one packet of length
// octets. A small one is copied and waits for the others of its turn.
func (o *output) write(w way, head, n, length int) error {
	fd, vectors, size := o.fds[w.leg], o.vectors[:n], vnetHeaderLen+length
	o.vectors[0].Base = &o.head[0]
	o.vectors[0].SetLen(head)
	if w.loopback {
		fd, vectors, size = o.loopback[w.leg], o.linked[:1+n], len(o.link)+length
		o.addLink(head)
	}
	// The vectors must not keep the payload from the garbage collector.
	defer clear(o.vectors[1:n])
	if slot := o.batch.room(size); slot != nil {
		for i := range vectors {
			v := &vectors[i]
			slot = slot[copy(slot, unsafe.Slice(v.Base, v.Len)):]
		}
		o.batch.add(fd, size, o.written)
		return nil
	}
	// What was sent before it must not come after it.
	o.batch.flush()
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vectors[0])), uintptr(len(vectors)))
	o.count(size, errno)
	if errno == unix.EBADF {
		return fmt.Errorf("writing to the device of the %s leg: %w", w.leg, errno)
	}
	return nil
}

// count notes what became of a write of n octets, headers of the device
// included.
func (o *output) count(n int, errno unix.Errno) {
	if errno != 0 {
		o.counters.Lost++
		return
	}
	o.counters.Packets++
	o.counters.Octets += uint64(n - vnetHeaderLen)
}

// addLink puts the link header in front of the packet, in the place of the
// header for the TUN driver at the front of head.
func (o *output) addLink(head int) {
	ip := o.head[vnetHeaderLen]
	o.vectors[0].Base = &o.head[vnetHeaderLen]
	o.vectors[0].SetLen(head - vnetHeaderLen)
	if head == vnetHeaderLen {
		ip = *o.vectors[1].Base // the IP header is in a piece of its own
	}
	o.link.put(o.head[:vnetHeaderLen], ip>>4 == 6)
}

// load puts pieces of payload into the vectors from n on and returns the
// number of vectors in use.
func (o *output) load(n int, payload []byte, pieces [][]byte) int {
	if len(payload) > 0 {
		o.vectors[n].Base = &payload[0]
		o.vectors[n].SetLen(len(payload))
		n++
	}
	for i, p := range pieces {
		if len(p) == 0 {
			continue
		}
		if n == maxVectors-1 && i < len(pieces)-1 {
			o.spill = o.spill[:0]
			for _, p := range pieces[i:] {
				o.spill = append(o.spill, p...)
			}
			p = o.spill
			o.vectors[n].Base = &p[0]
			o.vectors[n].SetLen(len(p))
			return n + 1
		}
		o.vectors[n].Base = &p[0]
		o.vectors[n].SetLen(len(p))
		n++
	}
	return n
}
