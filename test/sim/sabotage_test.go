package sim

import (
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

// calmScenario is a run in which nothing goes wrong by itself: one connection
// over good links, with octets both ways.
func calmScenario() *scenario {
	w := newWorld(1)
	s := &scenario{world: w, began: map[caller]*pair{}, longPatience: true}
	g := &gateway{w: w, d: s.stream("moments"), referees: map[legOf]*referee{}, bound: 64 << 20}
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer, cfg.SendBuffer = 1<<16, 1<<16
	g.set.Store(rules.New(nil))
	g.opt = splice.Options{Rules: &g.set, Budget: &splice.Budget{}, Endpoint: cfg, Epoch: time.Unix(1e9, 0), Observer: g}
	e := &engine{gateway: g, pool: endpoint.NewPool(0)}
	g.opt.Endpoint.Pool = e.pool
	e.shard = splice.NewShard(e, g.opt)
	g.engines = []*engine{e}
	s.gw = g
	makeHost := func(name string) *host {
		h := &host{w: w, d: s.stream(name), name: name, pool: endpoint.NewPool(0), dead: map[endpoint.Tuple]bool{}, cfg: cfg}
		h.cfg.Pool = h.pool
		h.open = endpoint.Open{MSS: 1460, MTU: 1500, SACK: true, Timestamps: true}
		return h
	}
	s.client, s.server = makeHost("client"), makeHost("server")
	makeLink := func(deliver func(packet)) *link {
		l := &link{w: w, d: s.stream("link"), delay: 5 * time.Millisecond, deliver: deliver}
		s.links = append(s.links, l)
		return l
	}
	s.client.out = makeLink(func(p packet) { g.receive(endpoint.Client, p) })
	s.server.out = makeLink(func(p packet) { g.receive(endpoint.Server, p) })
	g.towards[endpoint.Client], g.towards[endpoint.Server] = makeLink(s.client.receive), makeLink(s.server.receive)
	p := &pair{port: 40000, target: portOpen,
		client: &plan{name: "client 0", stream: 1, octets: 50000, write: 1 << 20, read: 4000, rest: 10 * time.Millisecond},
		server: &plan{name: "server 0", stream: 2, octets: 50000, write: 1 << 20, read: 4000, rest: 10 * time.Millisecond}}
	p.client.partner, p.server.partner = p.server, p.client
	s.pairs = []*pair{p}
	s.server.listen = func(endpoint.Tuple, endpoint.Seq) *plan {
		if p.server.result.started {
			return nil
		}
		return p.server
	}
	s.after(0, func() { s.connect(p) })
	w.check = g.checkBounds
	return s
}

func TestACalmRunIsClean(t *testing.T) {
	s := calmScenario()
	if s.play(); len(s.bad) > 0 {
		t.Errorf("something is wrong where nothing goes wrong: %v", s.bad)
	}
	if r := s.pairs[0].client.result; r.got != 50000 || !r.gotFIN {
		t.Errorf("the client got %+v", r)
	}
}

// late makes a spoiler that acts on the nth segment with an ACK.
func late(n int, do func(*endpoint.Segment)) func(*conn, *endpoint.Segment) {
	seen := 0
	return func(_ *conn, seg *endpoint.Segment) {
		if seg.Flags.Has(endpoint.ACK) {
			if seen++; seen == n {
				do(seg)
			}
		}
	}
}

// TestTheChecksCanFail breaks one thing at a time and wants the simulator to
// see it.
func TestTheChecksCanFail(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*scenario)
		want  string
	}{
		{"an ACK beyond what was received", func(s *scenario) {
			s.client.spoil = late(5, func(seg *endpoint.Segment) { seg.Ack += 1 << 20 })
		}, "beyond what it has received"},
		{"an ACK that goes back", func(s *scenario) {
			s.client.spoil = late(4, func(seg *endpoint.Segment) { seg.Ack -= 10000 })
		}, "acknowledges"},
		{"a window taken back", func(s *scenario) {
			s.server.spoil = late(5, func(seg *endpoint.Segment) { seg.Window /= 2 })
		}, "right edge of its window left"},
		{"an octet beyond the window", func(s *scenario) {
			s.client.spoil = late(5, func(seg *endpoint.Segment) { seg.Pieces = append(seg.Pieces, make([]byte, 1<<17)) })
		}, "beyond the window"},
		{"a FIN that moves", func(s *scenario) {
			s.links[0].deliver = func(packet) {} // the FIN has to come again
			seen := 0
			s.client.spoil = func(_ *conn, seg *endpoint.Segment) {
				if seg.Flags.Has(endpoint.FIN) {
					if seen++; seen > 1 {
						seg.Seq++
					}
				}
			}
			deliver := func(p packet) { s.gw.receive(endpoint.Client, p) }
			s.links[0].deliver = func(p packet) {
				if seen == 0 {
					deliver(p)
				}
			}
		}, "FIN"},
		{"a state without an arrow to it", func(s *scenario) {
			s.after(100*time.Millisecond, func() { s.client.conns[0].referee.state = endpoint.LastAck; s.client.conns[0].turn() })
		}, "goes from LAST-ACK to"},
		{"an octet that was not written", func(s *scenario) {
			seen := false
			s.gw.spoil = func(_ endpoint.Leg, seg *endpoint.Segment) {
				if n := len(seg.Pieces); n > 0 && !seen {
					seen = true
					seg.Pieces[0] = append([]byte(nil), seg.Pieces[0]...)
					seg.Pieces[0][0] ^= 1
				}
			}
		}, "and not 0x"},
		{"octets that nobody has written yet", func(s *scenario) {
			s.after(50*time.Millisecond, func() { s.pairs[0].server.result.sent = 0 })
		}, "has written"},
		{"an end before the end", func(s *scenario) {
			s.gw.spoil = func(l endpoint.Leg, seg *endpoint.Segment) {
				if l == endpoint.Client && seg.PayloadLen() > 0 {
					seg.Pieces, seg.MSS = seg.Pieces[:0], 0
					seg.Flags |= endpoint.FIN
				}
			}
		}, "saw the end after"},
		{"an alarm that does not ring", func(s *scenario) {
			s.after(30*time.Millisecond, func() {
				// What the server is sent is lost, and nobody repeats it.
				s.gw.engines[0].deaf = true
				s.gw.towards[endpoint.Server].weather.loss = 1
			})
		}, "is left with"},
		{"a buffer that nobody gives back", func(s *scenario) {
			s.after(time.Second, func() { s.gw.engines[0].pool.Get(1) })
		}, "is left with"},
		{"buffers without bound", func(s *scenario) {
			s.gw.bound = 100
		}, "octets of buffers"},
		{"a connection that nobody has counted", func(s *scenario) {
			s.after(30*time.Millisecond, func() { s.gw.opt.Budget = &splice.Budget{} })
		}, "the budget counts"},
		{"a connection that is reset for nothing", func(s *scenario) {
			s.after(40*time.Millisecond, func() {
				c := s.client.conns[0]
				c.ep.Abort(s.now)
				c.turn()
			})
		}, "is not complete"},
		{"a loop", func(s *scenario) {
			var again func()
			again = func() { s.after(0, again) }
			again()
		}, "still busy"},
	} {
		s := calmScenario()
		c.spoil(s)
		s.play()
		if len(s.bad) == 0 || !strings.Contains(strings.Join(s.bad, "; "), c.want) {
			t.Errorf("%s: the simulator says %q, want something with %q", c.name, s.bad, c.want)
		}
	}
}

// TestAFlippedBitIsSeen: whatever the bit, the checksum of the packet that has
// it is wrong, and it reaches nobody.
func TestAFlippedBitIsSeen(t *testing.T) {
	s := calmScenario()
	tuple := s.tuple(1, 2)
	seg := endpoint.Segment{Seq: 1, Ack: 2, Flags: endpoint.ACK, Payload: []byte("odd"), Options: endpoint.Options{Has: endpoint.HasTimestamps, TSVal: 7}}
	encode(tuple, &seg, false, func(p packet) {
		var got endpoint.Segment
		if !p.decode(&got) || string(got.Payload) != "odd" {
			t.Fatalf("what was sent is not what is read: %+v", got)
		}
		for bit := range len(p.tcp) * 8 {
			p.tcp[bit/8] ^= 1 << (bit % 8)
			if p.decode(&got) {
				t.Errorf("bit %d is wrong and nobody sees it", bit)
			}
			p.tcp[bit/8] ^= 1 << (bit % 8)
		}
	})
}

// TestTwoRunsThatDiffer: the trace's hash tells runs apart that differ in one
// octet or one moment.
func TestTwoRunsThatDiffer(t *testing.T) {
	run := func(change func(*scenario)) uint64 {
		s := calmScenario()
		change(s)
		return s.play()
	}
	same := run(func(*scenario) {})
	if run(func(*scenario) {}) != same {
		t.Error("the same run has two hashes")
	}
	if run(func(s *scenario) { s.links[2].delay++ }) == same {
		t.Error("a nanosecond makes no difference")
	}
	if run(func(s *scenario) { s.server.open.TSOffset++ }) == same {
		t.Error("a timestamp makes no difference")
	}
}
