package netstack

import (
	"testing"
	"time"
)

// roles are our endpoint with gVisor, ours opening actively and passively.
var roles = map[string]kinds{"active": {false, true}, "passive": {true, false}}

// ours is which host is our endpoint's.
func (k kinds) ours() int {
	if k[0] {
		return 1
	}
	return 0
}

func forRoles(t *testing.T, f func(t *testing.T, k kinds)) {
	for name, k := range roles {
		t.Run(name, func(t *testing.T) { f(t, k) })
	}
}

// quick is a good link.
var quick = path{delay: 5 * time.Millisecond, rate: 100e6, queue: 200}

func both(o options) [2]options {
	second := o
	second.iss += 77
	return [2]options{o, second}
}

// TestInteropTransfers moves megabytes both ways with each set of options
// over each kind of link.
func TestInteropTransfers(t *testing.T) {
	variants := map[string]func(*options){
		"all":      func(*options) {},
		"noSACK":   func(o *options) { o.sack = false },
		"noTS":     func(o *options) { o.noTimestamps = true },
		"noScale":  func(o *options) { o.noScale = true },
		"plain":    func(o *options) { o.sack, o.noTimestamps, o.noScale = false, true, true },
		"newreno":  func(o *options) { o.newReno = true },
		"mtu576":   func(o *options) { o.mtu = 576 },
		"mtu9000":  func(o *options) { o.mtu = 9000 },
		"buffers":  func(o *options) { o.send, o.receive = 30_000, 20_000 },
		"wrap":     func(o *options) { o.iss = 1<<32 - 300_000 },
		"wrap2G":   func(o *options) { o.iss = 1<<31 - 300_000 },
		"wrapSACK": func(o *options) { o.iss, o.noTimestamps = 1<<32-5000, true },
	}
	links := map[string]func(*path){
		"clean":     func(*path) {},
		"loss":      func(p *path) { p.loss = 0.02 },
		"reorder":   func(p *path) { p.reorder, p.late = 0.05, 8*time.Millisecond },
		"duplicate": func(p *path) { p.duplicate = 0.05 },
		"corrupt":   func(p *path) { p.corrupt = 0.02 },
		"all": func(p *path) {
			p.loss, p.reorder, p.late, p.duplicate, p.corrupt = 0.01, 0.03, 20*time.Millisecond, 0.02, 0.01
		},
	}
	forRoles(t, func(t *testing.T, k kinds) {
		for vn, variant := range variants {
			for ln, worsen := range links {
				t.Run(vn+"/"+ln, func(t *testing.T) {
					o, l := defaults(), quick
					variant(&o)
					worsen(&l)
					p := newPair(t, 7, k, both(o), l)
					p.apps[0].total, p.apps[1].total = 1<<20, 1<<20
					p.connect()
					p.wantAll(10 * time.Minute)
				})
			}
		}
	})
}

// TestInteropMTUsDiffer gives each host another MTU.
func TestInteropMTUsDiffer(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		for _, mtu := range [][2]int{{576, 1500}, {9000, 1280}, {600, 9000}} {
			o := both(defaults())
			o[0].mtu, o[1].mtu = mtu[0], mtu[1]
			p := newPair(t, 3, k, o, quick)
			for i, l := range p.links {
				l.drop = func(b []byte) bool {
					if len(b) > min(mtu[0], mtu[1]) {
						t.Errorf("MTUs %v: host %d sends %d octets", mtu, i, len(b))
					}
					return false
				}
			}
			p.apps[0].total, p.apps[1].total = 300_000, 300_000
			p.connect()
			p.wantAll(time.Minute)
		}
	})
}

// TestInteropHalfClose closes one direction, and sends through the other for
// a long time after.
func TestInteropHalfClose(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		for first := range 2 {
			p := newPair(t, 1, k, both(defaults()), quick)
			p.apps[1-first].keepOpen = true
			p.apps[first].total = 100_000
			p.connect()
			p.until("the half-close arrives", time.Minute, func() bool { return p.hosts[1-first].eof() })
			for range 5 {
				p.wait(20 * time.Second)
				p.apps[1-first].total += 50_000
				p.run(1 - first)
				p.until("late data arrives", time.Minute, func() bool { return p.apps[first].got == p.apps[1-first].total })
			}
			p.apps[1-first].keepOpen = false
			p.run(1 - first)
			p.wantAll(time.Minute)
		}
	})
}

// TestInteropSimultaneousClose lets the FINs cross.
func TestInteropSimultaneousClose(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		p := newPair(t, 1, k, both(defaults()), quick)
		p.apps[0].keepOpen, p.apps[1].keepOpen = true, true
		p.connect()
		p.until("the handshake", time.Second, func() bool { return p.hosts[0].established() && p.hosts[1].established() })
		p.wait(time.Second)
		for i := range 2 {
			p.apps[i].keepOpen = false
			p.run(i)
		}
		p.wantAll(10 * time.Second)
	})
}

// TestInteropReset lets each side abort, idle and in mid-transfer.
func TestInteropReset(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		for who := range 2 {
			for _, busy := range []bool{false, true} {
				p := newPair(t, 1, k, both(defaults()), quick)
				p.apps[0].keepOpen, p.apps[1].keepOpen = true, true
				if busy {
					p.apps[0].total, p.apps[1].total = 1<<30, 1<<30
				}
				p.connect()
				p.until("the handshake", time.Second, func() bool { return p.hosts[0].established() && p.hosts[1].established() })
				p.wait(300 * time.Millisecond)
				if busy && (p.apps[0].got == 0 || p.apps[1].got == 0) {
					t.Fatal("nothing has come yet")
				}
				p.apps[who].total, p.apps[who].paused = p.apps[who].sent, true
				p.hosts[who].abort()
				p.until("the reset arrives", time.Second, func() bool { return p.hosts[1-who].reset() && p.hosts[1-who].done() })
			}
		}
	})
}

// TestInteropRefused connects to a host that does not want to: its RST ends
// the attempt at once.
func TestInteropRefused(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		p := newPair(t, 1, k, both(defaults()), quick)
		switch h := p.hosts[1].(type) {
		case *netstack:
			h.listener.Close()
		case *ours:
			h.e.Abort(p.w.now)
		}
		p.connect()
		p.until("the refusal arrives", time.Second, func() bool {
			p.hosts[0].read(make([]byte, 1))
			return p.hosts[0].reset()
		})
	})
}

// TestInteropZeroWindow lets a reader pause for so long that the window is
// shut and probed for minutes, then read again.
func TestInteropZeroWindow(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		for reader := range 2 {
			o := both(defaults())
			for i := range o {
				o[i].receive, o[i].send = 50_000, 100_000
			}
			p := newPair(t, 1, k, o, quick)
			p.apps[reader].paused = true
			p.apps[1-reader].total = 2 << 20
			p.connect()
			for _, pause := range []time.Duration{time.Second, time.Minute, 10 * time.Minute} {
				p.wait(pause)
				before := p.links[1-reader].sent
				p.wait(time.Minute)
				if n := p.links[1-reader].sent - before; n > 100 {
					t.Errorf("a shut window was probed %d times in a minute", n)
				}
				// A little is read, so that the window opens and shuts again.
				p.apps[reader].paused = false
				at := p.apps[reader].got
				p.until("the flow goes on", 3*time.Minute, func() bool {
					p.run(reader)
					return p.apps[reader].got > at+60_000
				})
				p.apps[reader].paused = true
			}
			p.apps[reader].paused = false
			p.wantAll(10 * time.Minute)
		}
	})
}

// TestInteropLostHandshake drops the first of each segment of handshake and
// teardown.
func TestInteropLostHandshake(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		for lost := range 4 {
			for side := range 2 {
				p := newPair(t, 1, k, both(defaults()), quick)
				n := 0
				p.links[side].drop = func([]byte) bool {
					n++
					return n == lost+1
				}
				p.apps[0].total, p.apps[1].total = 1000, 1000
				p.connect()
				p.wantAll(2 * time.Minute)
			}
		}
	})
}

// TestInteropIsDeterministic runs one seed twice, and wants the same packets
// at the same times.
func TestInteropIsDeterministic(t *testing.T) {
	forRoles(t, func(t *testing.T, k kinds) {
		var first uint64
		for run := range 3 {
			l := quick
			l.loss, l.reorder, l.late = 0.02, 0.02, 10*time.Millisecond
			p := newPair(t, 5, k, both(defaults()), l)
			hash := uint64(14695981039346656037)
			for _, l := range p.links {
				l.drop = func(b []byte) bool {
					for _, c := range append([]byte{byte(p.w.now), byte(p.w.now >> 8), byte(p.w.now >> 16)}, b...) {
						hash = (hash ^ uint64(c)) * 1099511628211
					}
					return false
				}
			}
			p.apps[0].total, p.apps[1].total = 500_000, 500_000
			p.connect()
			p.wantAll(time.Minute)
			if run == 0 {
				first = hash
			} else if hash != first {
				t.Fatalf("run %d sent other packets than the first", run)
			}
		}
	})
}
