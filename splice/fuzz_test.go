package splice

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// FuzzShard gives a shard packets of clients and servers, some of which make
// sense, ICMP errors, and time, in any order: it does not panic, its
// invariants hold after each turn, and a shutdown leaves nothing.
func FuzzShard(f *testing.F) {
	f.Add([]byte{0})
	for config := range byte(16) {
		b := []byte{config, config * 7}
		b = append(b, fuzzedHandshake...)
		for kind := range byte(12) {
			b = append(b, kind, 0x10, 0, 30, kind, 0x11, 1, 0, 7, 10, 20, 0)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { besiege(t, b) })
}

// fuzzedHandshake opens a connection: the SYN, the server's SYN-ACK, and the
// client's ACK, with a turn after each.
var fuzzedHandshake = []byte{0, 0x02, 0, 0, 1, 0x12, 0, 0, 0, 0x10, 0, 0}

// siege is a shard and what is known outside of it of each leg of the last
// connection.
type siege struct {
	t     *testing.T
	shard *Shard
	dev   *fakeDevice
	// seq and ack are what each side's peer would send next.
	seq, ack [2]endpoint.Seq
	port     uint16
}

// besiege interprets b as a configuration and a list of instructions of four
// octets.
func besiege(t *testing.T, b []byte) {
	if len(b) < 2 {
		return
	}
	b = b[:min(len(b), 2+4*300)]
	s := newSiege(t, b[0], b[1])
	for b = b[2:]; len(b) >= 4; b = b[4:] {
		s.step(b[0], b[1], b[2], b[3])
		s.turn()
	}
	s.shard.Shutdown(s.dev.now)
	c := s.shard.Counters()
	if c.Flows+c.HalfOpen+c.Lingering+c.Timers+c.InWire != 0 || c.PoolInUse != 0 || len(s.shard.flows) != 0 {
		t.Fatalf("a shutdown leaves %+v", c)
	}
	if n, h := s.shard.budget.InUse(); n != 0 || h != 0 {
		t.Fatalf("the budget counts %d and %d after a shutdown", n, h)
	}
}

func newSiege(t *testing.T, config, more byte) *siege {
	s := &siege{t: t, dev: &fakeDevice{now: endpoint.Time(time.Hour)}, port: 40000}
	cfg := endpoint.DefaultConfig()
	cfg.ReceiveBuffer, cfg.SendBuffer = 1<<(10+config%8), 1<<(10+more%8)
	cfg.Pool = endpoint.NewPool(int64(config&1) << 17)
	opt := Options{Endpoint: cfg, Budget: &Budget{Connections: int64(more>>4) & 3, HalfOpen: int64(more>>6) & 3}}
	opt.Order = rules.Order(config >> 3 & 1)
	opt.Cookies = CookieMode(config >> 4 % 3)
	opt.OverLimit = rules.Action(more>>2) % 4
	opt.Local = config&0x40 != 0
	if config&0x80 != 0 {
		opt.Rules = withRules(&rules.Rule{Name: "fuzzed", Match: rules.Match{Probability: 1},
			Faults: []rules.Fault{
				{Leg: rules.Leg(more & 1), On: rules.Any, Do: rules.Delay, By: time.Duration(more) * time.Millisecond},
				{Leg: rules.Client, In: true, On: rules.Data, Do: rules.Reorder, Behind: 2},
				{Leg: rules.Server, On: rules.Data, Do: rules.Split, Size: 1 + int(more)},
				{Leg: rules.Server, On: rules.FIN, By: time.Second},
				{Leg: rules.Client, On: rules.SYNACK, By: time.Second},
			},
			Streams: []rules.Policy{
				{To: rules.Client, Do: rules.Latency, By: time.Duration(more) * 10 * time.Millisecond},
				{To: rules.Server, Do: rules.Limit, Bytes: uint64(more) * 10, Then: rules.Ending(more % 3)},
			}})
	}
	opt.Observer = &watcher{}
	s.shard = NewShard(s.dev, opt)
	s.seq = [2]endpoint.Seq{0xfffffe00, 1000}
	return s
}

// turn lets the shard send, and checks it.
func (s *siege) turn() {
	s.shard.Transmit(s.dev.now)
	s.shard.HandleTimeouts(s.dev.now)
	s.shard.Transmit(s.dev.now)
	if err := s.shard.CheckInvariants(); err != nil {
		s.t.Fatal(err)
	}
	for l := range s.dev.out {
		for i := range s.dev.out[l] {
			seg := &s.dev.out[l][i].seg
			s.ack[l] = seg.Seq.Plus(len(s.dev.out[l][i].data))
			if seg.Flags&(endpoint.SYN|endpoint.FIN) != 0 {
				s.ack[l]++
			}
		}
		if len(s.dev.out[l]) > 10000 {
			s.t.Fatal("the shard sends without end")
		}
		s.dev.out[l], s.dev.packets[l] = s.dev.out[l][:0], nil
	}
	s.dev.icmp, s.dev.verdicts = nil, nil
}

// step carries one instruction out.
func (s *siege) step(what, flags, off, n byte) {
	l := endpoint.Leg(what & 1)
	client := netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), s.port)
	t := endpoint.NewTuple(client, netip.MustParseAddrPort("10.2.0.2:80"))
	if l == endpoint.Server {
		t = t.Reverse()
	}
	p := &endpoint.Packet{Tuple: t, Hook: endpoint.Late, TTL: 60, Raw: []byte("raw")}
	switch what >> 1 % 8 {
	case 5: // time, up to about an hour
		s.dev.now = s.dev.now.Add(time.Duration(flags) * time.Duration(n) * 50 * time.Millisecond)
		return
	case 6:
		p.Tuple = t.Reverse()
		p.ICMP = &endpoint.ICMPError{Type: flags % 13, Code: off % 16, MTU: int(n) * 8,
			From: netip.MustParseAddr("10.9.9.9"), To: t.Destination().Addr()}
		p.Segment = endpoint.Segment{Seq: s.ack[l].Plus(-int(off) * 4)}
		s.shard.HandlePacket(s.dev.now, p)
		return
	case 7:
		switch flags % 8 {
		case 0:
			s.port = 40000 + uint16(n)%3
		case 1:
			s.seq[l] = s.seq[l].Plus(int(int8(n)) * 50)
		case 2:
			if n == 255 {
				s.shard.Drain()
			}
		}
		return
	}
	p.Segment = endpoint.Segment{
		Seq: s.seq[l].Plus(int(int8(off)) * 7), Ack: s.ack[l], Flags: endpoint.Flags(flags) &^ (endpoint.ECE | endpoint.CWR),
		Window: uint16(n) << (off & 7),
	}
	if what&0x40 != 0 {
		p.Ack = p.Ack.Plus(-int(n))
	}
	if l == endpoint.Client && !isSYN(&p.Segment) {
		p.Hook = endpoint.Early
	}
	const all = endpoint.HasMSS | endpoint.HasWindowScale | endpoint.HasSACKPermitted | endpoint.HasTimestamps
	p.Options = endpoint.Options{MSS: 100 + uint16(off), WindowScale: off % 15, TSVal: uint32(s.dev.now / endpoint.Time(time.Millisecond)), TSEcr: s.dev.tsval[l]}
	if p.Flags.Has(endpoint.SYN) {
		p.Options.Has = all & endpoint.OptionSet(off|n)
	} else if what&0x80 == 0 {
		p.Options.Has = endpoint.HasTimestamps & endpoint.OptionSet(off)
	}
	if !p.Flags.Has(endpoint.SYN) && n > 2 && off&1 == 0 {
		p.Payload = make([]byte, int(n)*6)
		if n&1 != 0 {
			p.Buffer = s.shard.opt.Endpoint.Pool.Get(endpoint.SlabSize)
			p.Payload = p.Buffer.Bytes()[:len(p.Payload)]
		}
	}
	if off == 0 {
		s.seq[l] = p.Segment.End()
	}
	s.shard.HandlePacket(s.dev.now, p)
	if p.Buffer != nil {
		p.Buffer.Release()
	}
}

// TestSiege runs the same with programs drawn at random, most of which begin
// with a handshake.
func TestSiege(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	carried := uint64(0)
	for n := range 1500 {
		b := make([]byte, 2+4*200)
		for i := range b {
			b[i] = byte(rng.Uint32())
			if i%4 == 0 && rng.IntN(2) == 0 {
				b[i] = 0 // in order
			}
		}
		if n%4 != 0 {
			copy(b[2:], fuzzedHandshake)
		}
		besiege(t, b)
		if t.Failed() {
			t.Fatalf("program %x", b)
		}
	}
	// The programs are not all turned away at the door.
	s := newSiege(t, 0, 0)
	for b := append(bytes.Clone(fuzzedHandshake), 0, 0x18, 0, 100); len(b) > 0; b = b[4:] {
		s.step(b[0], b[1], b[2], b[3])
		s.turn()
	}
	if carried = s.shard.Counters().Octets[endpoint.Server]; carried != 600 {
		t.Errorf("%d octets were carried to the server, want 600", carried)
	}
}
