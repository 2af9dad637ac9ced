package nfq

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// PortConfig says which queue and which TUN files a Port uses.
type PortConfig struct {
	Queue uint16         // NFQUEUE number
	Pool  *endpoint.Pool // of the shard; packets are received into its slabs
	TUNs  *TUNs          // the devices that segments leave through
	Shard int            // which of the devices' files
	// Local is set in local mode, where loopback addresses may occur.
	Local bool
	// Carry lets a server's packet that was taken go on with a segment to its
	// client in it, where the kernel allows that; the segment then does not
	// leave by the TUN device.
	Carry bool
	// Loopback is the way back into the host for connections of the host with
	// itself; nil where these are not taken.
	Loopback *Loopback
}

// Port is the kernel's edge of one shard. All methods but Wake belong to the
// shard's goroutine.
type Port struct {
	queue     *queue
	out       *output
	batch     *batch
	decoder   decoder
	originals originals
	packet    endpoint.Packet
	reasons   endpoint.Reasons

	now     endpoint.Time
	handle  func(endpoint.Time, *endpoint.Packet) endpoint.Verdict
	deliver func(*message, *endpoint.Buffer) bool // p.judge, made once

	woken atomic.Bool
	mu    sync.Mutex // guards event against Wake after Close
	event int        // eventfd that ends a sleep; -1 once closed
	polls [2]unix.PollFd
}

// Counters say what a Port has seen. They belong to the shard's goroutine.
type Counters struct {
	Queue   QueueCounters
	Send    SendCounters
	Reasons endpoint.Reasons // what the decoder found
	// Conntrack tells whether packets come with their conntrack entry.
	Conntrack bool
}

// OpenPort binds the queue, in the network namespace of the calling thread.
// The TUN devices stay their opener's to close.
func OpenPort(c PortConfig) (*Port, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("opening an eventfd: %w", err)
	}
	batch := newBatch()
	q, err := openQueue(c.Queue, c.Pool, batch)
	if err != nil {
		batch.close()
		unix.Close(event)
		return nil, err
	}
	var fds [2]int
	if c.TUNs != nil {
		fds = c.TUNs.files[c.Shard]
	} else {
		fds = [2]int{-1, -1}
	}
	loopback := [2]int{-1, -1}
	if c.Loopback != nil {
		loopback = c.Loopback.fds[c.Shard]
	}
	p := &Port{queue: q, out: newOutput(fds, loopback, batch), batch: batch, decoder: decoder{local: c.Local}, event: event}
	p.out.carriers.on = c.Carry && mayCarry()
	p.out.verdicts = verdictWay{q.fd, &q.verdicts, q.given, q.give}
	q.overflow = p.flushVerdicts
	p.deliver = p.judge
	p.polls[0] = unix.PollFd{Fd: int32(q.fd), Events: unix.POLLIN}
	p.polls[1] = unix.PollFd{Fd: int32(event), Events: unix.POLLIN}
	return p, nil
}

// Now reads the clock that stamps the packets.
func (p *Port) Now() endpoint.Time { return now() }

// Counters returns what was counted so far.
func (p *Port) Counters() Counters {
	c := Counters{Queue: p.queue.counters, Send: p.out.counters, Reasons: p.reasons, Conntrack: p.queue.conntrack}
	c.Queue.Overruns = p.queue.overruns()
	return c
}

// Receive waits at most wait for packets and hands one burst to handle, each
// with the time it was read. Their verdicts are given with the next Flush. A
// negative wait is without end, 0 does not wait. It returns early after
// Wake. An error is final.
func (p *Port) Receive(wait time.Duration, handle func(endpoint.Time, *endpoint.Packet) endpoint.Verdict) error {
	p.Flush()
	p.handle = handle
	n, err := p.burst()
	if n > 0 || err != nil {
		return err
	}
	if p.woken.Load() {
		p.drainWake()
		return nil
	}
	if wait == 0 {
		return nil
	}
	if err := p.sleep(wait); err != nil {
		return err
	}
	_, err = p.burst()
	return err
}

func (p *Port) burst() (int, error) {
	p.now = now()
	n, err := p.queue.read(p.deliver)
	if p.out.carriers.left == 0 {
		// An unsent verdict pins the sender's memory, so it is the first of
		// what is written next.
		p.flushVerdicts()
	}
	return n, err
}

func (p *Port) sleep(wait time.Duration) error {
	var timeout *unix.Timespec
	var ts unix.Timespec
	if wait > 0 {
		ts = unix.NsecToTimespec(int64(wait))
		timeout = &ts
	}
	p.polls[0].Revents, p.polls[1].Revents = 0, 0
	_, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.polls[0])), uintptr(len(p.polls)),
		uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return fmt.Errorf("waiting for packets of NFQUEUE %d: %w", p.queue.number, errno)
	}
	if p.polls[0].Revents&unix.POLLNVAL != 0 {
		return fmt.Errorf("waiting for packets of NFQUEUE %d: %w", p.queue.number, os.ErrClosed)
	}
	if p.polls[1].Revents != 0 {
		p.drainWake()
	}
	return nil
}

// Wake makes a Receive of the present or the next call return. It may be
// called from any goroutine; after Close it does nothing.
func (p *Port) Wake() {
	if p.woken.Swap(true) {
		return // an earlier wake has not been seen yet
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.event < 0 {
		return
	}
	one := uint64(1)
	_, _ = unix.Write(p.event, (*[8]byte)(unsafe.Pointer(&one))[:])
}

// drainWake forgets the wakes so far. The descriptor is emptied first: a
// wake that comes in between is part of the present one.
func (p *Port) drainWake() {
	var b [8]byte
	_, _ = unix.Read(p.event, b[:])
	p.woken.Store(false)
}

// judge decodes one packet and finds its verdict; true lets it go on.
func (p *Port) judge(m *message, slab *endpoint.Buffer) (accept bool) {
	why, verdict := p.decoder.decode(m.payload, m.length, m.verify, &p.packet)
	if why != endpoint.ReasonNone {
		p.reasons[why]++
		return verdict == endpoint.Accept
	}
	pk := &p.packet
	switch m.hook {
	case hookPrerouting, hookOutput:
		pk.Hook = endpoint.Early
	default:
		pk.Hook = endpoint.Late
	}
	pk.Loopback = m.loopback && p.out.loopback[0] >= 0
	pk.Segment.Buffer = slab
	if pk.ICMP != nil {
		pk.Segment.Buffer = nil
	} else if pk.Flags&(endpoint.SYN|endpoint.ACK|endpoint.RST|endpoint.FIN) == endpoint.SYN {
		switch {
		case pk.Hook == endpoint.Early:
			// It is only here to be remembered; it comes again once the
			// host's filter has let it pass.
			p.originals.remember(p.now, pk)
			if !pk.Loopback {
				return true
			}
		case m.original.IsValid():
			pk.Original = m.original
		default:
			pk.Original = p.originals.recall(p.now, pk)
		}
		if pk.Original == pk.Destination() {
			pk.Original = netip.AddrPort{}
		}
	}
	if p.handle(p.now, pk) == endpoint.Accept {
		return true
	}
	p.out.carriers.add(m, pk)
	return false
}

// Flush writes what Send and its kind have collected, and gives the verdicts of
// the last burst. Receive begins with it, so it is called only where nothing is
// received any more, or something else has to come after what was sent.
func (p *Port) Flush() {
	p.flushVerdicts()
	p.batch.flush()
}

// flushVerdicts gives the verdicts that the last burst still lacks.
func (p *Port) flushVerdicts() {
	p.queue.flush()
	p.out.carriers.clear()
}

// Send sends a segment towards the peer of a leg, at the latest when Flush or
// Receive is called. The segment's pieces are not kept after the call. A
// segment that the kernel does not take is counted: it is lost as on any wire.
func (p *Port) Send(leg endpoint.Leg, t *endpoint.Tuple, h endpoint.IPHeader, s *endpoint.Segment) error {
	return p.out.segment(leg, t, h, s)
}

// SendPacket sends a whole IP packet. The checksum of a TCP packet is left
// to the kernel, which knows best whether it is ready; the TTL becomes one
// more, for on its way back into the kernel it is counted down again. What was
// taken on its way over the loopback device goes there.
func (p *Port) SendPacket(leg endpoint.Leg, taken *endpoint.Packet) error {
	return p.out.packet(way{leg, taken.Loopback}, taken.Raw)
}

// SendUnreachable tells the sender of a segment that it could not be
// delivered: an ICMP error e, from e.From to the segment's source, quoting
// the segment's header as its sender sent it.
func (p *Port) SendUnreachable(leg endpoint.Leg, h endpoint.IPHeader, e *endpoint.ICMPError, t *endpoint.Tuple, s *endpoint.Segment) error {
	return p.out.unreachable(way{leg, h.Loopback}, e, t, s)
}

// Close unbinds the queue and gives the slabs back to the pool.
func (p *Port) Close() error {
	p.Flush()
	p.batch.close()
	err := p.queue.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if cerr := unix.Close(p.event); err == nil && cerr != nil {
		err = fmt.Errorf("closing an eventfd: %w", cerr)
	}
	p.event = -1
	return err
}

// maxPacket is the longest IP packet, in octets.
const maxPacket = math.MaxUint16

// SegmentPacket is the length in octets that the packet of one segment should
// not exceed. A queue's message holds 65,531 octets of a packet. On the
// loopback device a single segment may be longer than that, and the end of
// each would have to be sent again; and of segments little shorter than that a
// peer sends one at a time. Of those of a quarter, super-packets of three fit.
const SegmentPacket = 16 << 10
