package nfq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"unsafe"

	nfqueue "github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

const (
	// burstMessages bounds what one system call reads.
	burstMessages = 32
	// queueLen bounds the packets that wait for a verdict in the kernel.
	queueLen = 4096
)

// queue reads one NFQUEUE and gives its verdicts. The library binds and
// configures it; the packets are read here, into slabs of the shard's pool,
// several with one system call and none of them copied or peeked at.
type queue struct {
	fd        int
	number    uint16
	lib       *nfqueue.Nfqueue
	conntrack bool // packets come with their conntrack entry

	pool    *endpoint.Pool
	slabs   [burstMessages]*endpoint.Buffer
	iovecs  [burstMessages]unix.Iovec
	headers [burstMessages]mmsghdr

	message  message // being handled
	verdicts verdicts
	counters QueueCounters

	batch    *batch // what waits to be written together
	written  func(n int, errno unix.Errno)
	overflow func() // flushes the verdicts that a burst has too many of
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// QueueCounters say what a queue has seen.
type QueueCounters struct {
	Bursts        uint64 // reads that found packets
	Packets       uint64
	Octets        uint64 // of the packets, from the IP header on
	Cut           uint64 // packets whose tail the message could not hold
	Accepted      uint64
	Dropped       uint64 // taken, or dropped for a bad checksum
	Overruns      uint64 // packets that found the socket's buffer full, as the socket counts them
	VerdictErrors uint64 // verdicts that the kernel refused, mostly because the packet was gone
	Odd           uint64 // messages that are no packet
}

// openQueue binds a queue number, in the network namespace of the calling
// thread.
func openQueue(number uint16, pool *endpoint.Pool, b *batch) (*queue, error) {
	// Packets come with their conntrack entry where the kernel can. Where it
	// cannot it refuses all flags, and the bind has to be done afresh.
	q, err := bindQueue(number, pool, nfqueue.NfQaCfgFlagGSO|nfqueue.NfQaCfgFlagConntrack)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAGAIN) {
		q, err = bindQueue(number, pool, nfqueue.NfQaCfgFlagGSO)
	} else if err == nil {
		q.conntrack = true
	}
	if err != nil {
		return nil, queueError(number, err)
	}
	q.batch, q.written, q.overflow = b, q.given, q.flush
	return q, nil
}

func bindQueue(number uint16, pool *endpoint.Pool, flags uint32) (*queue, error) {
	fd, port, err := openNetlink()
	if err != nil {
		return nil, err
	}
	lib, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      number,
		MaxPacketLen: maxPacket,
		MaxQueueLen:  queueLen,
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        flags,
		AfFamily:     unix.AF_UNSPEC,
	})
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening the queue library: %w", err)
	}
	// The library's own connection would read, and copy, every packet.
	if err := lib.Con.Close(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("closing the queue library's own socket: %w", err)
	}
	sock := newConfigSocket(fd)
	lib.Con = netlink.NewConn(sock, port)
	never := func(nfqueue.Attribute) int { return 1 }
	stop := func(error) int { return 1 }
	if err := lib.RegisterWithErrorFunc(context.Background(), never, stop); err != nil {
		unix.Close(fd) // which unbinds what was bound
		return nil, err
	}
	q := &queue{fd: fd, number: number, lib: lib, pool: pool}
	q.verdicts.queue = number
	for i := range q.headers {
		q.setSlab(i)
	}
	if sock.any {
		q.verdicts.dropUpTo(sock.skipped)
	}
	return q, nil
}

// setSlab gives a place of the burst a fresh slab.
func (q *queue) setSlab(i int) {
	b := q.pool.Get(endpoint.SlabSize)
	q.slabs[i] = b
	q.iovecs[i].Base = &b.Bytes()[0]
	q.iovecs[i].SetLen(len(b.Bytes()))
	q.headers[i].hdr.Iov = &q.iovecs[i]
	q.headers[i].hdr.Iovlen = 1
}

// read reads one burst without waiting and calls handle for each packet in
// it, which answers whether the packet goes on. It reports how many messages
// there were. Verdicts are collected; flush gives them.
//
// What never waits is called without telling Go's scheduler (RawSyscall),
// here and wherever a packet is given back or sent: it would else give the
// thread's place to another one when a call takes longer than 20 µs, and keep
// itself busy with looking for such calls. Waiting is done in Port.sleep,
// which does tell it.
func (q *queue) read(handle func(m *message, slab *endpoint.Buffer) (accept bool)) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(q.fd), uintptr(unsafe.Pointer(&q.headers[0])),
		burstMessages, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	case unix.ENOBUFS:
		return 0, nil // the socket counts what was lost
	default:
		return 0, fmt.Errorf("reading NFQUEUE %d: %w", q.number, errno)
	}
	q.counters.Bursts++
	for i := range int(n) {
		slab := q.slabs[i]
		q.datagram(slab, int(q.headers[i].len), handle)
		q.headers[i].hdr.Flags = 0
		if slab.Shared() {
			// Somebody keeps payload that lies in it.
			slab.Release()
			q.setSlab(i)
		}
	}
	return int(n), nil
}

func (q *queue) datagram(slab *endpoint.Buffer, n int, handle func(*message, *endpoint.Buffer) bool) {
	b := slab.Bytes()
	for kind, body := range messages(b[:min(n, len(b))]) {
		switch kind {
		case msgPacket:
			m := &q.message
			if len(body) < nfgenmsgLen || !m.parse(body[nfgenmsgLen:]) {
				q.counters.Odd++
				continue
			}
			q.counters.Packets++
			q.counters.Octets += uint64(m.length)
			if m.length > len(m.payload) {
				q.counters.Cut++
			}
			if !handle(m, slab) {
				q.counters.Dropped++
				q.verdicts.dropUpTo(m.id)
				continue
			}
			q.counters.Accepted++
			if q.verdicts.full() {
				q.overflow()
			}
			q.verdicts.accept(m.id)
		case unix.NLMSG_ERROR:
			if len(body) >= 4 && binary.NativeEndian.Uint32(body) != 0 {
				q.counters.VerdictErrors++
			}
		default:
			q.counters.Odd++
		}
	}
}

// flush gives the collected verdicts, with the next batch of writes if there is
// one.
func (q *queue) flush() {
	b := q.verdicts.take()
	if len(b) == 0 {
		return
	}
	if slot := q.batch.room(len(b)); slot != nil {
		copy(slot, b)
		q.batch.add(q.fd, len(b), q.written)
		return
	}
	q.give(b)
}

// given notes whether the kernel took the verdicts.
func (q *queue) given(_ int, errno unix.Errno) {
	if errno != 0 {
		q.counters.VerdictErrors++
		if q.verdicts.some {
			q.verdicts.again()
		}
	}
}

// give gives verdicts at once. An accepted packet goes on within this call, in
// the kernel.
func (q *queue) give(b []byte) {
	for range 2 {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(q.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if errno == 0 {
			return
		}
		// The kernel was short of memory for a moment, or a signal came.
		// Packets to drop are taken by the next batch; for those to accept
		// this is loss on the wire.
		q.counters.VerdictErrors++
	}
	if q.verdicts.some {
		q.verdicts.again()
	}
}

// overruns asks the socket how many packets it had no room for.
func (q *queue) overruns() uint64 {
	const drops = 8 // SK_MEMINFO_DROPS
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(info[drops])
}

// close unbinds the queue, upon which the kernel drops what waits in it, and
// gives the slabs back.
func (q *queue) close() error {
	err := q.lib.Close()
	if cerr := unix.Close(q.fd); err == nil {
		err = cerr
	}
	for i, b := range q.slabs {
		if b != nil {
			b.Release()
			q.slabs[i] = nil
		}
	}
	if err != nil {
		return fmt.Errorf("closing NFQUEUE %d: %w", q.number, err)
	}
	return nil
}

// messages walks the netlink messages in a datagram: their type and what
// follows their header.
func messages(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= nlmsgHeaderLen {
			n := int(binary.NativeEndian.Uint32(b))
			if n < nlmsgHeaderLen {
				return
			}
			// A message that was cut is read as far as it came.
			if !yield(binary.NativeEndian.Uint16(b[4:]), b[nlmsgHeaderLen:min(n, len(b))]) {
				return
			}
			if align4(n) >= len(b) {
				return
			}
			b = b[align4(n):]
		}
	}
}
