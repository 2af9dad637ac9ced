package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

var (
	epoch  = time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	client = netip.MustParseAddrPort("10.77.1.2:40000")
	server = netip.MustParseAddrPort("10.77.2.2:80")
)

// out is a segment that leaves on a leg.
func out(l endpoint.Leg, payload string) *splice.WireEvent {
	t := endpoint.NewTuple(server, client)
	if l == endpoint.Server {
		t = t.Reverse()
	}
	seg := &endpoint.Segment{Seq: 1000, Ack: 2000, Flags: endpoint.ACK | endpoint.PSH, Window: 512, ECN: endpoint.ECT0}
	for part := range strings.SplitAfterSeq(payload, " ") {
		seg.Pieces = append(seg.Pieces, []byte(part))
	}
	return &splice.WireEvent{
		At: endpoint.Time(time.Second), Conn: 1, Client: client, Server: server, Rule: "r", Leg: l, Out: true, Tuple: t,
		Head: splice.Header{TTL: 44, DSCP: 10}, Segment: seg,
	}
}

// in is a packet that arrives on a leg, as the kernel gives it: a checksum not
// filled in, an address translated.
func in(t *testing.T, l endpoint.Leg, payload string) *splice.WireEvent {
	t.Helper()
	e := out(l, payload)
	e.Out, e.Tuple = false, e.Tuple.Reverse()
	src, dst := e.Tuple.Source(), e.Tuple.Destination()
	ip := &layers.IPv4{Version: 4, TTL: 61, Id: 4711, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: []byte{192, 0, 2, 1}}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port() + 1), Seq: 1, Checksum: 0xdead, ACK: true,
		Options: []layers.TCPOption{{OptionType: 253, OptionLength: 4, OptionData: []byte{1, 2}}}}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ip, tcp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	e.Raw = b.Bytes()
	return e
}

func fired(do rules.Do, l endpoint.Leg, outward, onSegment bool) *splice.FaultEvent {
	return &splice.FaultEvent{
		Conn: 1, Client: client, Server: server, Rule: "r", Text: "the text", Leg: l, Out: outward, Do: do, HasSegment: onSegment, Seq: 1000, ISS: 999, IRS: 990, Len: 4,
	}
}

// read is a packet of a file.
type read struct {
	data     []byte
	at       time.Time
	intf     int
	length   int
	comments []string
	flags    uint32
	dropped  uint64
}

// recorded lets a Recorder write what do tells it, and reads that.
func recorded(t *testing.T, r *Recorder, about About, do func(r *Recorder)) (blocks []Block, packets []read) {
	t.Helper()
	do(r)
	var b bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	about.Epoch = epoch
	if err := r.Run(ctx, &b, func() error { return nil }, &about); err != nil {
		t.Fatal(err)
	}
	if r.octets.Load() != 0 {
		t.Errorf("%d octets of buffers are counted after the end", r.octets.Load())
	}
	whole := bytes.Clone(b.Bytes())
	for br := NewBlockReader(&b); ; {
		block, err := br.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, block)
		if block.IsPacket() {
			packets = append(packets, parse(block))
		}
	}
	// Another reader finds as many.
	ng, err := pcapgo.NewNgReader(bytes.NewReader(whole), pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		data, ci, err := ng.ReadPacketData()
		if errors.Is(err, io.EOF) {
			if i != len(packets) {
				t.Errorf("another reader finds %d packets, want %d", i, len(packets))
			}
			return blocks, packets
		} else if err != nil {
			t.Fatal(err)
		}
		if p := &packets[i]; !bytes.Equal(data, p.data) || ci.InterfaceIndex != p.intf || ci.Length != p.length || !ci.Timestamp.Equal(p.at) {
			t.Errorf("another reader finds packet %d to be %+v", i, ci)
		}
	}
}

// parse reads an enhanced packet block by the letter of the draft.
func parse(b Block) (p read) {
	le := binary.LittleEndian
	p.intf, p.length = int(le.Uint32(b[8:])), int(le.Uint32(b[24:]))
	p.at = time.Unix(0, int64(uint64(le.Uint32(b[12:]))<<32|uint64(le.Uint32(b[16:])))).UTC()
	n := int(le.Uint32(b[20:]))
	p.data = b[28 : 28+n]
	for at := 28 + (n+3)&^3; at+4 <= len(b)-4; {
		code, size := le.Uint16(b[at:]), int(le.Uint16(b[at+2:]))
		v := b[at+4 : at+4+size]
		switch code {
		case 1:
			p.comments = append(p.comments, string(v))
		case 2:
			p.flags = le.Uint32(v)
		case 4:
			p.dropped = le.Uint64(v)
		}
		at += 4 + (size+3)&^3
	}
	return p
}

// right wants a packet whose checksums are right, and returns its layers.
func right(t *testing.T, data []byte) (ip *layers.IPv4, tcp *layers.TCP) {
	t.Helper()
	p := gopacket.NewPacket(data, layers.LinkTypeRaw, gopacket.Default)
	ip, _ = p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	tcp, _ = p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if ip == nil || tcp == nil {
		t.Fatalf("no TCP in IPv4: %v", p)
	}
	got := bytes.Clone(data)
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true}, ip, tcp, gopacket.Payload(tcp.Payload)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), got) {
		t.Errorf("with right checksums the packet would be\n%x, it is\n%x", b.Bytes(), got)
	}
	return ip, tcp
}

func TestPackets(t *testing.T) {
	_, got := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) {
		r.Wire(out(endpoint.Client, "hello world, odd"))
		r.Wire(in(t, endpoint.Server, "good bye"))
	})
	if len(got) != 2 {
		t.Fatalf("%d packets", len(got))
	}
	p := &got[0]
	ip, tcp := right(t, p.data)
	if p.intf != 0 || p.flags != 2 || !p.at.Equal(epoch.Add(time.Second)) || len(p.comments) != 0 || p.length != len(p.data) {
		t.Errorf("what left: %+v", p)
	}
	if ip.TTL != 44 || ip.TOS != 10<<2|2 || ip.SrcIP.String() != "10.77.2.2" || tcp.SrcPort != 80 || tcp.DstPort != 40000 || tcp.Seq != 1000 ||
		tcp.Ack != 2000 || !tcp.PSH || string(tcp.Payload) != "hello world, odd" || tcp.Window != 512 {
		t.Errorf("what left: %+v %+v", ip, tcp)
	}
	p = &got[1]
	ip, tcp = right(t, p.data)
	if p.intf != 1 || p.flags != 1 {
		t.Errorf("what came: %+v", p)
	}
	// It is as it came, but with the addresses of the leg.
	if ip.TTL != 61 || ip.Id != 4711 || ip.SrcIP.String() != "10.77.2.2" || ip.DstIP.String() != "10.77.1.2" || tcp.DstPort != 40000 ||
		len(tcp.Options) < 1 || tcp.Options[0].OptionType != 253 || string(tcp.Payload) != "good bye" {
		t.Errorf("what came: %+v %+v", ip, tcp)
	}
}

func TestIPv6Packets(t *testing.T) {
	c, s := netip.MustParseAddrPort("[2001:db8::1]:4000"), netip.MustParseAddrPort("[2001:db8::2]:80")
	e := out(endpoint.Client, "hello")
	e.Client, e.Server, e.Tuple = c, s, endpoint.NewTuple(s, c)
	_, got := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) { r.Wire(e) })
	arrived := *e
	arrived.Out, arrived.Tuple, arrived.Raw = false, e.Tuple, bytes.Clone(got[0].data)
	arrived.Raw[40+16] ^= 0xff // the checksum
	_, again := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) { r.Wire(&arrived) })
	if !bytes.Equal(again[0].data, got[0].data) {
		t.Errorf("what came is\n%x, want\n%x", again[0].data, got[0].data)
	}
	p := gopacket.NewPacket(got[0].data, layers.LinkTypeRaw, gopacket.Default)
	ip, _ := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if ip == nil || tcp == nil || ip.HopLimit != 44 || ip.TrafficClass != 10<<2|2 || int(ip.Length) != len(got[0].data)-40 || string(tcp.Payload) != "hello" {
		t.Fatalf("%v", p)
	}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true}, ip, tcp, gopacket.Payload("hello")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), got[0].data) {
		t.Errorf("with right checksums the packet would be\n%x, it is\n%x", b.Bytes(), got[0].data)
	}
}

func TestCorruptPacket(t *testing.T) {
	good := out(endpoint.Client, "hello")
	bad := out(endpoint.Client, "hello")
	bad.Head.Corrupt = 160 + 1 // the first bit of the payload
	bad.Note = "data corrupted by rule r"
	_, got := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) { r.Wire(good); r.Wire(bad) })
	want := bytes.Clone(got[0].data)
	want[40] ^= 0x80
	if !bytes.Equal(got[1].data, want) {
		t.Errorf("corrupted is\n%x, want\n%x", got[1].data, want)
	}
	if len(got[1].comments) != 1 || got[1].comments[0] != bad.Note {
		t.Errorf("it says %q", got[1].comments)
	}
}

func TestFaultsAreComments(t *testing.T) {
	lost := out(endpoint.Client, "hello")
	lost.Lost = true
	data := out(endpoint.Server, "hello")
	ack := out(endpoint.Server, "")
	ack.Segment.Flags = endpoint.ACK
	part := fired(rules.Lose, endpoint.Server, false, true)
	latency := fired(0, endpoint.Server, true, false)
	latency.IsStream, latency.Stream, latency.N, latency.Position = true, rules.Latency, 5, 100
	_, got := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) {
		r.Fault(fired(rules.Lose, endpoint.Client, true, true))
		r.Wire(lost)
		r.Fault(part)
		r.Wire(in(t, endpoint.Server, "a long one"))
		r.Fault(latency)
		r.Fault(latency)
		r.Wire(ack)
		r.Wire(data)
		r.Fault(fired(rules.ResetLeg, endpoint.Client, true, false))
		r.Wire(ack)
		r.Wire(out(endpoint.Client, ""))
		r.Fault(fired(rules.Delay, endpoint.Client, true, true))  // the note of the segment tells
		r.Fault(fired(rules.Delay, endpoint.Client, true, false)) // as of what is decided late
		r.Wire(out(endpoint.Client, ""))
		r.Fault(fired(rules.Vanish, endpoint.Server, true, false))
		r.Closed(&splice.Summary{Conn: 1, Client: client, Server: server})
	})
	want := [][]string{
		{"dropped by rule r: the text (octets 1 to 4, relative)"},
		{"dropped on arrival by rule r: the text (octets 10 to 13, relative)"},
		nil,
		{"latency by rule r: the text (5 octets from 100 on) (2 times, this the last)"},
		nil,
		{"reset by rule r: the text"},
		nil,
		{"vanish by rule r: the text"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i, w := range want {
		if strings.Join(got[i].comments, "|") != strings.Join(w, "|") {
			t.Errorf("packet %d says %q, want %q", i, got[i].comments, w)
		}
	}
	if last := got[len(got)-1]; len(last.data) != 0 || last.intf != 1 {
		t.Errorf("what no packet came for is on %+v", last)
	}
}

func TestRemarksAreBounded(t *testing.T) {
	_, got := recorded(t, NewRecorder(nil, 0), About{}, func(r *Recorder) {
		for i := range 100 {
			f := fired(rules.ResetLeg, endpoint.Client, true, false)
			f.Fault, f.Text = i, strings.Repeat("x", 4000)
			r.Fault(f)
		}
		r.Wire(out(endpoint.Client, ""))
		for i := range maxPairs + 10 {
			f := fired(rules.Vanish, endpoint.Client, true, false)
			f.Client = netip.AddrPortFrom(client.Addr(), uint16(i+1))
			for len(r.queue) == cap(r.queue) {
				t.Fatal("the queue is too small for this test")
			}
			r.Fault(f)
		}
	})
	if c := got[0].comments; len(c) != maxRemarks+1 || c[maxRemarks] != "and 84 more" || len(c[0]) != maxTextSize {
		t.Errorf("%d comments, the last %q", len(c), c[len(c)-1])
	}
	if n := len(got) - 1; n != 10 {
		t.Errorf("%d packets for what had no room, want 10", n)
	}
}

func TestSnap(t *testing.T) {
	_, got := recorded(t, NewRecorder(nil, 60), About{}, func(r *Recorder) {
		r.Wire(out(endpoint.Client, strings.Repeat("x", 1000)))
		r.Wire(in(t, endpoint.Client, strings.Repeat("x", 1000)))
		r.Wire(out(endpoint.Client, ""))
	})
	for i, want := range []int{1040, 1044, 40} {
		if p := &got[i]; len(p.data) != min(60, want) || p.length != want {
			t.Errorf("packet %d: %d of %d octets, want 60 of %d", i, len(p.data), p.length, want)
		}
	}
	right(t, got[2].data)
}

func TestFilter(t *testing.T) {
	f, err := trace.ParseFilter("leg server")
	if err != nil {
		t.Fatal(err)
	}
	blocks, got := recorded(t, NewRecorder(f, 0), About{Filter: "leg server", Version: "7"}, func(r *Recorder) {
		r.Wire(out(endpoint.Client, "x"))
		r.Wire(out(endpoint.Server, "y"))
	})
	if len(got) != 1 || got[0].intf != 1 {
		t.Errorf("%d packets", len(got))
	}
	if s := string(blocks[0]); !strings.Contains(s, "Filter: leg server") || !strings.Contains(s, "tcpmitm 7") {
		t.Errorf("the section says %q", s)
	}
}

// What comes faster than it is written is missing, which the file says where
// it is, and in sum.
func TestLossIsSaid(t *testing.T) {
	r := NewRecorder(nil, 0)
	blocks, got := recorded(t, r, About{}, func(r *Recorder) {
		for range maxRecords + 5 {
			r.Wire(out(endpoint.Client, ""))
		}
		first := <-r.queue
		r.octets.Add(-first.octets.size)
		r.Wire(out(endpoint.Client, "after"))
	})
	last := got[len(got)-1]
	if len(got) != maxRecords || last.dropped != 5 || len(last.comments) != 1 || !strings.HasPrefix(last.comments[0], "5 packets of this leg are missing") {
		t.Errorf("%d packets, the last with %d missing, saying %q", len(got), last.dropped, last.comments)
	}
	var end tail
	for _, b := range blocks {
		if b.kind() == blockStats {
			end.note(b)
		}
	}
	if c := end.Counts(); c.Received != maxRecords+6 || c.Dropped != 5 {
		t.Errorf("in sum %+v", c)
	}
	// Large packets are bounded by their octets.
	r = NewRecorder(nil, 0)
	big := out(endpoint.Client, strings.Repeat("x", 60000))
	for range maxRecords {
		r.Wire(big)
	}
	if n := int64(len(r.queue)); n*largeBuffer > maxOctets || n < maxOctets/largeBuffer-1 {
		t.Errorf("%d large packets wait", n)
	}
}

func BenchmarkWire(b *testing.B) {
	r := NewRecorder(nil, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = r.Run(ctx, io.Discard, func() error { return nil }, &About{}) }()
	e := out(endpoint.Client, strings.Repeat("x", 60000))
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		r.Wire(e)
	}
	b.ReportMetric(float64(r.lost[0].Load())/float64(b.N), "lost/op")
}
