package splice

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// A playbook says line by line what goes into a shard and what must come out
// of it, in the words of packetdrill:
//
//	client > S 0:0(0) win 65535 <mss 1400,ws 7>   the client sends
//	server < S 0:0(0) <mss 1400,ws>               the server must get
//	server > icmp 3/1                             an ICMP error about our SYN
//	client < icmp 3/1                             the client must get it
//	+1.5                                          time passes, in seconds
//	quiet                                         nothing else has come out
//	client early S 0:0(0)                         as >, before connection tracking
//	# a comment
//
// Sequence numbers count from the sender's ISN, acknowledgements from the
// other's. Each stream's octets follow a pattern, so that what must come out
// is compared octet by octet. Options in <> are compared as a set; a value
// only where one is given. Within one leg the order counts, between the legs
// it does not.
type playbook struct {
	t        *testing.T
	shard    *Shard
	dev      *fakeDevice
	watch    *watcher
	line     string
	lineNo   int
	legs     [2]peer
	clientA  netip.AddrPort
	serverA  netip.AddrPort
	target   netip.AddrPort // of the server after DNAT; serverA if there is none
	loopback bool           // packets are taken on their way over the loopback device
	burst    int            // packets handled since the last Transmit
	batch    bool
}

// peer is the scripted host at the end of one leg.
type peer struct {
	isn  endpoint.Seq
	ts   bool
	iss  endpoint.Seq
	dscp uint8 // of what it sends
}

func newPlaybook(t *testing.T, opt Options) *playbook {
	t.Helper()
	p := &playbook{
		t:       t,
		dev:     &fakeDevice{now: endpoint.Time(time.Hour)},
		watch:   &watcher{},
		clientA: netip.MustParseAddrPort("10.1.0.1:40000"),
		serverA: netip.MustParseAddrPort("10.2.0.2:80"),
	}
	p.target = p.serverA
	if opt.Endpoint.ReceiveBuffer == 0 {
		opt.Endpoint = endpoint.DefaultConfig()
		opt.Endpoint.SYNRetries = 6 // as in the gateway
		// The largest buffer that needs no scaling: the window that a SYN
		// tells of is the whole one, and no update follows it.
		opt.Endpoint.ReceiveBuffer = 65535
	}
	if opt.Endpoint.Pool == nil {
		opt.Endpoint.Pool = endpoint.NewPool(0)
	}
	opt.Observer = p.watch
	opt.Secret[0] = 7
	p.shard = NewShard(p.dev, opt)
	p.legs[0].isn, p.legs[1].isn = 0xfffffff0, 5000
	return p
}

func (p *playbook) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("line %d %q: %s", p.lineNo, p.line, fmt.Sprintf(format, args...))
}

// play runs a script.
func (p *playbook) play(script string) {
	p.t.Helper()
	for _, line := range strings.Split(script, "\n") {
		p.lineNo++
		p.line = strings.TrimSpace(line)
		f := strings.Fields(p.line)
		switch {
		case len(f) == 0 || f[0] == "#":
		case f[0] == "quiet":
			p.quiet()
		case f[0] == "burst":
			p.batch = true
		case f[0] == "flush":
			p.batch = false
			p.turn()
		case strings.HasPrefix(f[0], "+"):
			p.advance(f[0][1:])
		case len(f) < 3 || f[0] != "client" && f[0] != "server":
			p.fail("not understood")
		default:
			leg := endpoint.Client
			if f[0] == "server" {
				leg = endpoint.Server
			}
			p.step(leg, f[1], f[2:])
		}
		if err := p.shard.CheckInvariants(); err != nil && !p.batch {
			p.fail("%v", err)
		}
	}
}

func (p *playbook) step(leg endpoint.Leg, dir string, f []string) {
	p.t.Helper()
	if f[0] == "icmp" {
		if dir == "<" {
			p.wantICMP(leg, f[1])
		} else {
			p.sendICMP(leg, f[1])
		}
		return
	}
	if dir == "<" {
		p.want(leg, f)
		return
	}
	p.send(leg, dir, f)
}

// parse reads flags, seq:end(len), ack, win, urg, ecn and options.
func (p *playbook) parse(f []string, self, other endpoint.Seq) (s endpoint.Segment, n int, opts map[string]string) {
	p.t.Helper()
	for _, c := range f[0] {
		bit, ok := map[rune]endpoint.Flags{'S': endpoint.SYN, 'F': endpoint.FIN, 'R': endpoint.RST, 'P': endpoint.PSH, '.': endpoint.ACK, 'E': endpoint.ECE, 'W': endpoint.CWR, 'U': endpoint.URG}[c]
		if !ok {
			p.fail("flag %q", c)
		}
		s.Flags |= bit
	}
	var from, to uint32
	if _, err := fmt.Sscanf(f[1], "%d:%d(%d)", &from, &to, &n); err != nil || to-from != uint32(n) {
		p.fail("sequence %q: %v", f[1], err)
	}
	s.Seq = self + endpoint.Seq(from)
	s.Window = 65535
	rest := strings.Join(f[2:], " ")
	if i := strings.IndexByte(rest, '<'); i >= 0 {
		opts = map[string]string{}
		for _, o := range strings.Split(strings.Trim(rest[i:], "<>"), ",") {
			k, v, _ := strings.Cut(strings.TrimSpace(o), " ")
			if k != "" {
				opts[k] = v
			}
		}
		rest = rest[:i]
	}
	w := strings.Fields(rest)
	for i := 0; i+1 < len(w); i += 2 {
		v, err := strconv.ParseUint(w[i+1], 10, 32)
		switch {
		case err != nil:
			p.fail("%v", err)
		case w[i] == "ack":
			s.Ack = other + endpoint.Seq(v)
		case w[i] == "win":
			s.Window = uint16(v)
		case w[i] == "urg":
			s.Urgent = uint16(v)
		case w[i] == "ecn":
			s.ECN = uint8(v)
		default:
			p.fail("word %q", w[i])
		}
	}
	return s, n, opts
}

// send lets a peer send a segment.
func (p *playbook) send(leg endpoint.Leg, dir string, f []string) {
	p.t.Helper()
	me := &p.legs[leg]
	s, n, opts := p.parse(f, me.isn, me.iss)
	o := &s.Options
	for k, v := range opts {
		x, _ := strconv.Atoi(v)
		switch k {
		case "mss":
			o.Has, o.MSS = o.Has|endpoint.HasMSS, uint16(x)
		case "ws":
			o.Has, o.WindowScale = o.Has|endpoint.HasWindowScale, uint8(x)
		case "sackOK":
			o.Has |= endpoint.HasSACKPermitted
		case "ts":
			o.Has |= endpoint.HasTimestamps
			me.ts = true
		case "md5":
			o.Has |= endpoint.HasAuth
		default:
			p.fail("option %q", k)
		}
	}
	if me.ts && !s.Flags.Has(endpoint.RST) {
		o.Has |= endpoint.HasTimestamps
		o.TSVal = uint32(p.dev.now/1e6) + 77
		o.TSEcr = p.dev.tsval[leg]
	}
	s.Payload = pattern(leg, s.Seq.To(me.isn)*-1-1, n)
	pkt := &endpoint.Packet{DSCP: me.dscp, Segment: s, Tuple: p.tuple(leg), Hook: endpoint.Late, Loopback: p.loopback, Raw: []byte(strings.Join(f, " "))}
	if isSYN(&s) && p.target != p.serverA {
		pkt.Original = p.serverA
		pkt.Tuple = endpoint.NewTuple(p.clientA, p.target)
	}
	if leg == endpoint.Client && !isSYN(&s) || dir == "early" {
		pkt.Hook = endpoint.Early
	}
	p.handle(pkt)
}

func (p *playbook) handle(pkt *endpoint.Packet) {
	p.dev.verdicts = append(p.dev.verdicts, p.shard.HandlePacket(p.dev.now, pkt))
	if !p.batch {
		p.turn()
	}
}

func (p *playbook) turn() {
	p.shard.Transmit(p.dev.now)
	p.shard.HandleTimeouts(p.dev.now)
	p.shard.Transmit(p.dev.now)
}

// tuple is what a leg's peer sends.
func (p *playbook) tuple(leg endpoint.Leg) endpoint.Tuple {
	if leg == endpoint.Client {
		return endpoint.NewTuple(p.clientA, p.serverA)
	}
	return endpoint.NewTuple(p.target, p.clientA)
}

// pattern is n octets of a leg's stream from offset on.
func pattern(leg endpoint.Leg, offset, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := offset + i
		b[i] = byte(at ^ at>>8 ^ int(leg)<<7)
	}
	return b
}

// want takes the next segment that was sent on a leg and compares it.
func (p *playbook) want(leg endpoint.Leg, f []string) {
	p.t.Helper()
	me := &p.legs[leg]
	q := &p.dev.out[leg]
	if len(*q) == 0 {
		p.fail("nothing was sent to the %v", leg)
	}
	got := (*q)[0]
	*q = (*q)[1:]
	if got.seg.Flags.Has(endpoint.SYN) {
		me.iss = got.seg.Seq
	}
	want, n, opts := p.parse(f, me.iss, me.isn)
	desc := p.describe(leg, &got.seg, got.data)
	if got.tuple != p.tuple(leg).Reverse() {
		p.fail("sent from %v to %v", got.tuple.Source(), got.tuple.Destination())
	}
	if got.seg.Flags&^endpoint.PSH != want.Flags&^endpoint.PSH || len(got.data) != n {
		p.fail("got %s", desc)
	}
	if want.Flags.Has(endpoint.RST) && !want.Flags.Has(endpoint.ACK) || !want.Flags.Has(endpoint.RST) {
		if got.seg.Seq != want.Seq {
			p.fail("got %s", desc)
		}
	}
	if want.Flags.Has(endpoint.ACK) && got.seg.Ack != want.Ack {
		p.fail("got %s", desc)
	}
	if got.seg.Urgent != want.Urgent || slices.Contains(f, "ecn") && got.seg.ECN != want.ECN {
		p.fail("got %s urg %d ecn %d", desc, got.seg.Urgent, got.seg.ECN)
	}
	if n > 0 {
		offset := -got.seg.Seq.To(me.iss) - 1
		if string(got.data) != string(pattern(leg.Other(), offset, n)) {
			p.fail("wrong octets in %s", desc)
		}
	}
	if opts != nil {
		p.wantOptions(&got.seg.Options, opts, desc)
	}
}

func (p *playbook) wantOptions(o *endpoint.Options, want map[string]string, desc string) {
	p.t.Helper()
	var has endpoint.OptionSet
	for k, v := range want {
		x, _ := strconv.Atoi(v)
		switch k {
		case "mss":
			has |= endpoint.HasMSS
			if v != "" && int(o.MSS) != x {
				p.fail("got %s", desc)
			}
		case "ws":
			has |= endpoint.HasWindowScale
			if v != "" && int(o.WindowScale) != x {
				p.fail("got %s", desc)
			}
		case "sackOK":
			has |= endpoint.HasSACKPermitted
		case "ts":
			has |= endpoint.HasTimestamps
		default:
			p.fail("option %q", k)
		}
	}
	if o.Has != has {
		p.fail("options of %s", desc)
	}
}

func (p *playbook) describe(leg endpoint.Leg, s *endpoint.Segment, data []byte) string {
	me := &p.legs[leg]
	seq := uint32(s.Seq - me.iss)
	d := fmt.Sprintf("%v %d:%d(%d) ack %d win %d <mss %d,ws %d,has %#x>", s.Flags, seq, seq+uint32(len(data)), len(data),
		uint32(s.Ack-me.isn), s.Window, s.Options.MSS, s.Options.WindowScale, s.Options.Has)
	return d
}

// quiet demands that nothing was sent beside what was asked for.
func (p *playbook) quiet() {
	p.t.Helper()
	for l, q := range p.dev.out {
		for _, s := range q {
			p.fail("%v was sent %s", endpoint.Leg(l), p.describe(endpoint.Leg(l), &s.seg, s.data))
		}
		p.dev.out[l] = nil
	}
	if len(p.dev.icmp) > 0 {
		p.fail("an ICMP error was sent")
	}
}

// advance lets time pass, with a wake-up wherever the shard wants one.
func (p *playbook) advance(seconds string) {
	p.t.Helper()
	d, err := time.ParseDuration(seconds + "s")
	if err != nil {
		p.fail("%v", err)
	}
	end := p.dev.now.Add(d)
	for n := 0; ; n++ {
		at := p.shard.NextTimeout()
		if at > end {
			break
		}
		if n > 10000 {
			p.fail("the timers never rest")
		}
		p.dev.now = max(p.dev.now, at)
		p.turn()
	}
	p.dev.now = end
}

func (p *playbook) sendICMP(leg endpoint.Leg, what string) {
	p.t.Helper()
	e := &endpoint.ICMPError{From: netip.MustParseAddr("10.9.9.9"), To: p.clientA.Addr()}
	if _, err := fmt.Sscanf(what, "%d/%d", &e.Type, &e.Code); err != nil {
		p.fail("%v", err)
	}
	p.handle(&endpoint.Packet{Tuple: p.tuple(leg).Reverse(), Segment: endpoint.Segment{Seq: p.legs[leg].iss}, ICMP: e})
}

func (p *playbook) wantICMP(leg endpoint.Leg, what string) {
	p.t.Helper()
	if len(p.dev.icmp) == 0 {
		p.fail("no ICMP error was sent")
	}
	got := p.dev.icmp[0]
	p.dev.icmp = p.dev.icmp[1:]
	if s := fmt.Sprintf("%d/%d", got.e.Type, got.e.Code); s != what || got.leg != leg || got.tuple != p.tuple(leg) || got.seq != p.legs[leg].isn {
		p.fail("got ICMP %s on the %v leg about %v", s, got.leg, got.seq)
	}
}

// wantOver demands one summary and nothing left behind once TIME-WAIT is over.
func (p *playbook) wantOver(first string, how How, client, server endpoint.State) *Summary {
	p.t.Helper()
	if len(p.watch.closed) != 1 {
		p.t.Fatalf("%d connections were reported, want 1", len(p.watch.closed))
	}
	s := p.watch.closed[0]
	if s.FirstClose != first || s.How != how || s.ClientState != client || s.ServerState != server {
		p.t.Errorf("closed first by %s how %d, legs %v and %v; want %s %d %v %v", s.FirstClose, s.How, s.ClientState, s.ServerState, first, how, client, server)
	}
	p.wantEmpty()
	return &s
}

// wantEmpty demands that nothing is left after a while.
func (p *playbook) wantEmpty() {
	p.t.Helper()
	p.line = "(the end)"
	p.advance("120")
	c := p.shard.Counters()
	if c.Flows+c.Lingering+c.HalfOpen+c.Timers+c.InWire != 0 || c.PoolInUse != 0 || len(p.shard.flows) != 0 {
		p.t.Errorf("left behind: %+v", c)
	}
	if n, h := p.shard.budget.InUse(); n != 0 || h != 0 {
		p.t.Errorf("the budget still counts %d connections, %d half-open", n, h)
	}
}

// sentSegment is what the shard gave to the device.
type sentSegment struct {
	tuple endpoint.Tuple
	dscp  uint8
	seg   endpoint.Segment
	head  Header
	data  []byte
}

type sentICMP struct {
	leg   endpoint.Leg
	e     endpoint.ICMPError
	tuple endpoint.Tuple
	seq   endpoint.Seq
}

// fakeDevice keeps what is sent.
type fakeDevice struct {
	now      endpoint.Time
	out      [2][]sentSegment
	tsval    [2]uint32
	packets  [2][][]byte
	mss      int       // of the super-segments that were sent, at most
	ways     [2][]bool // of what was sent, whether over the loopback device
	icmp     []sentICMP
	verdicts []endpoint.Verdict
}

func (d *fakeDevice) Now() endpoint.Time                   { return d.now }
func (d *fakeDevice) Receive(time.Duration, Handler) error { panic("a playbook has no queue") }
func (d *fakeDevice) Wake()                                {}
func (d *fakeDevice) Send(l endpoint.Leg, t *endpoint.Tuple, h Header, s *endpoint.Segment) error {
	x := sentSegment{tuple: *t, dscp: h.DSCP, head: h, seg: *s}
	for _, piece := range s.Pieces {
		x.data = append(x.data, piece...)
	}
	x.seg.Pieces = nil
	if s.Options.Has&endpoint.HasTimestamps != 0 {
		d.tsval[l] = s.Options.TSVal
	}
	d.out[l] = append(d.out[l], x)
	d.ways[l] = append(d.ways[l], h.Loopback)
	d.mss = max(d.mss, s.MSS)
	return nil
}
func (d *fakeDevice) SendPacket(l endpoint.Leg, p *endpoint.Packet) error {
	d.packets[l] = append(d.packets[l], append([]byte(nil), p.Raw...))
	return nil
}
func (*fakeDevice) Flush() {}

func (d *fakeDevice) SendUnreachable(l endpoint.Leg, _ Header, e *endpoint.ICMPError, t *endpoint.Tuple, s *endpoint.Segment) error {
	d.icmp = append(d.icmp, sentICMP{l, *e, *t, s.Seq})
	return nil
}

// watcher is an observer that remembers.
type watcher struct {
	closed                  []Summary
	again, segments, octets int // of segments, and as counted in what they carry
	notes                   []string
	faults                  []FaultEvent
}

func (w *watcher) Segment(e *SegmentEvent) {
	w.segments++
	if e.Again {
		w.again++
	}
	w.octets += e.Segment.PayloadLen()
	if e.Note != "" && !strings.HasPrefix(e.Note, noteHeld) && e.Note != noteHeldAgain {
		w.notes = append(w.notes, e.Note)
	}
}
func (w *watcher) Fault(e *FaultEvent) { w.faults = append(w.faults, *e) }
func (w *watcher) Closed(s *Summary)   { w.closed = append(w.closed, *s) }
