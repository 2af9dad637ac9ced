package netstack

import (
	"math/rand/v2"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// app is what runs on a host: it sends total octets of a known pattern, then
// closes its direction, and checks all that it reads.
type app struct {
	side  int
	host  stack
	total int
	sent  int
	got   int
	bad   bool // something else came than was sent
	// keepOpen leaves the direction open after total octets.
	keepOpen bool
	// waitEOF closes only after the peer has.
	waitEOF bool
	closed  bool
	// paused does not read.
	paused bool
	// lastAt is when the last octet came.
	lastAt endpoint.Time
}

// pair is two hosts on a link.
type pair struct {
	t     *testing.T
	w     *world
	hosts [2]stack
	apps  [2]*app
	links [2]*link
	buf   [32 << 10]byte
}

// kinds says which host is gVisor's; host 0 opens actively.
type kinds [2]bool

func newPair(t *testing.T, seed uint64, k kinds, o [2]options, p path) *pair {
	w := newWorld()
	pr := &pair{t: t, w: w}
	for i := range 2 {
		pr.links[i] = &link{w: w, path: p, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	for i := range 2 {
		if k[i] {
			h := newNetstack(t, w, i, o[i], pr.links[i].send, i == 1)
			pr.hosts[i] = h
			t.Cleanup(h.close)
		} else {
			pr.hosts[i] = newOurs(t, w, i, o[i], pr.links[i].send, i == 1)
		}
		pr.apps[i] = &app{side: i, host: pr.hosts[i]}
		pr.links[1-i].to = func(b []byte) {
			pr.hosts[i].deliver(b)
			pr.run(i)
		}
	}
	return pr
}

// run lets the app of host i do what it can.
func (p *pair) run(i int) {
	a := p.apps[i]
	buf := p.buf[:]
	for !a.paused {
		n := a.host.read(buf)
		if n == 0 {
			break
		}
		a.check(buf[:n])
		a.lastAt = p.w.now
	}
	if !a.host.established() {
		return
	}
	for a.sent < a.total {
		n := min(len(buf), a.total-a.sent)
		k := a.host.write(patternAt(i, a.sent, n))
		a.sent += k
		if k < n {
			break
		}
	}
	if a.sent == a.total && !a.closed && !a.keepOpen && (!a.waitEOF || a.host.eof()) {
		a.closed = true
		a.host.closeWrite()
	}
}

// until runs the world until what is wanted holds, and fails if that takes
// more than limit.
func (p *pair) until(why string, limit time.Duration, holds func() bool) {
	p.t.Helper()
	deadline := p.w.now.Add(limit)
	for !holds() {
		if !p.w.step(deadline) {
			p.t.Fatalf("%s: not within %v; %d and %d octets have come", why, limit, p.apps[0].got, p.apps[1].got)
		}
		// What a timer does may be news to the app too.
		p.run(0)
		p.run(1)
	}
}

// wait lets time pass.
func (p *pair) wait(d time.Duration) {
	deadline := p.w.now.Add(d)
	for p.w.step(deadline) {
		p.run(0)
		p.run(1)
	}
	p.w.now = deadline
}

func (p *pair) connect() { p.hosts[0].connect() }

// wantAll demands that all octets came as they were sent, and both closed.
func (p *pair) wantAll(limit time.Duration) {
	p.t.Helper()
	p.until("everything is transferred and closed", limit, func() bool {
		return p.apps[0].got == p.apps[1].total && p.apps[1].got == p.apps[0].total &&
			p.hosts[0].eof() && p.hosts[1].eof() && p.hosts[0].done() && p.hosts[1].done()
	})
	for i, a := range p.apps {
		if a.bad {
			p.t.Errorf("host %d got other octets than were sent", i)
		}
		if p.hosts[i].reset() {
			p.t.Errorf("host %d has seen an error", i)
		}
	}
}

// pattern repeats after a prime number of octets, so that no shift by a power
// of two looks right.
var pattern = func() []byte {
	const period = 65521
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 2*period)
	for i := range period {
		b[i] = byte(r.Uint32())
	}
	copy(b[period:], b[:period])
	return b
}()

// patternAt is what a host sends as the n octets from at on.
func patternAt(side, at, n int) []byte {
	i := (at + side*1000) % (len(pattern) / 2)
	return pattern[i : i+n]
}

func (a *app) check(b []byte) {
	a.bad = a.bad || string(b) != string(patternAt(1-a.side, a.got, len(b)))
	a.got += len(b)
}
