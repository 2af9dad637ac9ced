package splice

import (
	"encoding/binary"
	"net/netip"
	"time"

	"tcpmitm/endpoint"
)

// synRecv counts, by the net of their source, the handshakes of which nothing
// is kept: SYN cookies that have not come back, and SYNs that were turned away
// at a limit of handshakes. With those that are kept, the half-open flows, they
// are what netstat would show as SYN-RECV on a host under a flood.
//
// The table has a fixed size. In a bucket that is full a stranger makes the
// least of its entries smaller by one and takes its place once that is zero
// (Misra and Gries, 1982): nets that send much stay, and their counts are at
// most too small.
type synRecv struct {
	table *[synBuckets][synWays]synEntry // nil until it is needed
	since endpoint.Time                  // of the young generation
}

const (
	// A bucket has synWays entries of 24 octets: 24 KiB in all.
	synBuckets = 256
	synWays    = 4
	// synMemory is how long a generation is the young one: a handshake counts
	// for between once and twice that, about as long as a kernel would hold it.
	synMemory = 32 * time.Second
)

// synNet is an IPv4 /24 or an IPv6 /64.
type synNet struct {
	prefix uint64 // the first 64 bits; of IPv4 the address with its last octet 0
	four   bool
}

type synEntry struct {
	net        synNet
	young, old uint32
}

func netOf(t *endpoint.Tuple) synNet {
	if t.IsIPv4() {
		return synNet{uint64(binary.BigEndian.Uint32(t.Src[12:]) &^ 0xff), true}
	}
	return synNet{binary.BigEndian.Uint64(t.Src[:]), false}
}

// Prefix is the net as people write it.
func (n synNet) Prefix() netip.Prefix {
	if n.four {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(n.prefix))
		return netip.PrefixFrom(netip.AddrFrom4(a), 24)
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], n.prefix)
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// bucket finds where a net belongs. The hash needs no key: who fills a bucket
// on purpose hides one net of the flood behind others of it.
func (s *synRecv) bucket(n synNet) *[synWays]synEntry {
	h := n.prefix * 0x9e3779b97f4a7c15
	return &s.table[h>>32%synBuckets]
}

// cookieSent notes that a client was sent a SYN cookie.
func (s *synRecv) cookieSent(now endpoint.Time, b *Budget, t *endpoint.Tuple) {
	b.synMet.Add(1)
	s.count(now, netOf(t))
}

// refused notes that a SYN was turned away at a limit of handshakes.
func (s *synRecv) refused(now endpoint.Time, b *Budget, t *endpoint.Tuple) {
	b.synMet.Add(1)
	s.count(now, netOf(t))
}

// cookieCame notes that a client has acknowledged its cookie.
func (s *synRecv) cookieCame(now endpoint.Time, b *Budget, t *endpoint.Tuple) {
	b.synCame.Add(1)
	if s.table == nil {
		return
	}
	s.age(now)
	n := netOf(t)
	for i := range s.bucket(n) {
		if e := &s.bucket(n)[i]; e.net == n {
			e.less()
			return
		}
	}
}

func (s *synRecv) count(now endpoint.Time, n synNet) {
	if s.table == nil {
		s.table, s.since = new([synBuckets][synWays]synEntry), now
	}
	s.age(now)
	b := s.bucket(n)
	least := &b[0]
	for i := range b {
		e := &b[i]
		if e.net == n {
			e.young++
			return
		}
		if e.sum() < least.sum() {
			least = e
		}
	}
	if least.sum() > 0 {
		least.less()
	}
	if least.sum() == 0 {
		*least = synEntry{net: n, young: 1}
	}
}

func (e *synEntry) sum() uint64 { return uint64(e.young) + uint64(e.old) }

func (e *synEntry) less() {
	switch {
	case e.old > 0:
		e.old--
	case e.young > 0:
		e.young--
	}
}

// age makes the young generation the old one when its time has come.
func (s *synRecv) age(now endpoint.Time) {
	past := now.Sub(s.since)
	if past < synMemory {
		return
	}
	for i := range s.table {
		for k := range s.table[i] {
			e := &s.table[i][k]
			e.old, e.young = e.young, 0
			if past >= 2*synMemory {
				e.old = 0
			}
		}
	}
	s.since = now
}

// SYNRecv are the handshakes in progress with one net: IPv4 by /24, IPv6 by
// /64.
type SYNRecv struct {
	Net      netip.Prefix
	HalfOpen int // of which a state is kept
	// Unanswered are SYN cookies that have not come back within the last half
	// minute to minute, and SYNs that were turned away; at least so many.
	Unanswered int
}

// SYNRecv adds the shard's handshakes in progress to those of others, by net.
// It belongs to the shard's goroutine: ask with Do. At most as many nets are
// added as there are half-open connections and entries in the table.
func (s *Shard) SYNRecv(now endpoint.Time, sum map[netip.Prefix]SYNRecv) {
	add := func(n synNet, half, unanswered int) {
		p := n.Prefix()
		e := sum[p]
		sum[p] = SYNRecv{p, e.HalfOpen + half, e.Unanswered + unanswered}
	}
	if s.syns.table != nil {
		s.syns.age(now)
		for i := range s.syns.table {
			for k := range s.syns.table[i] {
				if e := &s.syns.table[i][k]; e.sum() > 0 {
					add(e.net, 0, int(e.sum()))
				}
			}
		}
	}
	if s.counters.HalfOpen == 0 {
		return
	}
	for f := s.live.first; f != nil; f = f.next {
		if f.holdsHalf {
			in := f.legs[endpoint.Client].in()
			add(netOf(&in), 1, 0)
		}
	}
}

// SYNs tells how many SYNs got a cookie or were turned away at a limit of
// handshakes, and how many cookies came back. It may be called from any
// goroutine.
func (b *Budget) SYNs() (met, came uint64) { return b.synMet.Load(), b.synCame.Load() }
