package nfq

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// SendCounters say what went out through the TUN devices.
type SendCounters struct {
	Packets uint64 // writes; a super-packet is one
	Octets  uint64 // of the packets, from the IP header on
	Lost    uint64 // packets that the kernel did not take
}

const (
	// maxVectors bounds the pieces of one packet that are written where they
	// lie, the header included (UIO_MAXIOV). Pieces beyond are copied
	// together.
	maxVectors = 1024
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

// output writes packets to the TUN devices of one shard.
type output struct {
	fds      [2]int // by leg
	id       uint16 // of the next IPv4 header
	head     [maxHeaders]byte
	icmp     [maxICMP]byte // an ICMP error being composed
	vectors  [maxVectors]unix.Iovec
	spill    []byte // pieces that found no vector; made when first needed
	counters SendCounters
}

func newOutput(fds [2]int) *output {
	o := &output{fds: fds}
	o.vectors[0].Base = &o.head[0]
	return o
}

// write sends head and the vectors from 1 to n-1 as one packet of length
// octets.
func (o *output) write(leg endpoint.Leg, head, n, length int) error {
	o.vectors[0].SetLen(head)
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(o.fds[leg]), uintptr(unsafe.Pointer(&o.vectors[0])), uintptr(n))
	// The vectors must not keep the payload from the garbage collector.
	clear(o.vectors[1:n])
	switch errno {
	case 0:
		o.counters.Packets++
		o.counters.Octets += uint64(length)
		return nil
	case unix.EBADF:
		o.counters.Lost++
		return fmt.Errorf("writing to the TUN device of the %s leg: %w", leg, errno)
	}
	o.counters.Lost++
	return nil
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
