package endpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded is one segment that real hosts exchanged: its TCP header as it
// was on the wire, the sender's and receiver's address, and when it left.
type recorded struct {
	name     string
	after    time.Duration // since the one before it
	src, dst netip.Addr
	header   []byte
}

// exchange is a recorded handshake or teardown.
type exchange struct {
	name string
	open bool // it begins with the SYN
	segs []recorded
}

// recordedExchanges reads all that testdata/vectors holds.
func recordedExchanges(t *testing.T) []exchange {
	frames := capturedFrames(t)
	if len(frames) != 7 {
		t.Fatalf("%d captured frames, wanted 7", len(frames))
	}
	all := append([]exchange{
		{"frames 1 to 3, handshake", true, frames[:3]},
		{"frames 4 to 7, teardown", false, frames[3:]},
	}, transcripts(t)...)
	if len(all) != 4 {
		t.Fatalf("%d exchanges, wanted 4", len(all))
	}
	return all
}

// capturedFrames takes the TCP headers out of the Ethernet frames, and checks
// their checksums: ours is computed by the same function.
func capturedFrames(t *testing.T) []recorded {
	t.Helper()
	var all []recorded
	for _, line := range dataLines(t, "testdata/vectors/captured-frames.hex") {
		number, digits, _ := strings.Cut(line, " ")
		frame, err := hex.DecodeString(digits)
		if err != nil || len(frame) < 14+20+HeaderLen {
			t.Fatalf("frame %s: %v, %d octets", number, err, len(frame))
		}
		ip := frame[14:]
		ip = ip[:binary.BigEndian.Uint16(ip[2:])] // without the padding
		r := recorded{name: "frame " + number, after: time.Millisecond, header: ip[int(ip[0]&15)*4:],
			src: netip.AddrFrom4([4]byte(ip[12:16])), dst: netip.AddrFrom4([4]byte(ip[16:20]))}
		again := bytes.Clone(r.header)
		putChecksum(again, r.src, r.dst)
		if !bytes.Equal(again, r.header) {
			t.Fatalf("frame %s: checksum is %x, computed %x", number, r.header[16:18], again[16:18])
		}
		all = append(all, r)
	}
	return all
}

// transcripts reads the recorded fields and completes them to headers: what
// the record leaves open, the addresses, A's port and the value of the MSS
// option that the frame sizes show, is the same in all of them.
func transcripts(t *testing.T) []exchange {
	t.Helper()
	hosts := map[string]struct {
		addr netip.Addr
		port uint16
	}{"A": {netip.MustParseAddr("192.0.2.1"), 1023}, "B": {netip.MustParseAddr("192.0.2.2"), 9}}
	var all []exchange
	for _, line := range dataLines(t, "testdata/vectors/captured-transcripts.txt") {
		// open   0.00148  B>A  S.  seq 2581070522  ack 2222652228  win 64240  len 0
		f := strings.Fields(line)
		if len(f) != 12 {
			t.Fatalf("%d fields in %q, wanted 12", len(f), line)
		}
		if len(all) == 0 || all[len(all)-1].name != "transcript, "+f[0] {
			all = append(all, exchange{name: "transcript, " + f[0], open: f[0] == "open"})
		}
		number := func(s string) uint32 {
			if s == "-" {
				return 0
			}
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			return uint32(n)
		}
		after, err := strconv.ParseFloat(f[1], 64)
		if err != nil || f[11] != "0" {
			t.Fatalf("cannot read %q: %v", line, err)
		}
		s := Segment{Seq: Seq(number(f[5])), Ack: Seq(number(f[7])), Window: uint16(number(f[9]))}
		for _, c := range f[3] {
			s.Flags |= map[rune]Flags{'S': SYN, 'F': FIN, '.': ACK}[c]
		}
		if s.Flags.Has(SYN) {
			s.Options = Options{Has: HasMSS, MSS: 1460}
		}
		from, to := hosts[f[2][:1]], hosts[f[2][2:]]
		r := recorded{name: strings.Join(f[:4], " "), after: seconds(after), src: from.addr, dst: to.addr,
			header: AppendHeader(nil, from.port, to.port, &s)}
		putChecksum(r.header, r.src, r.dst)
		x := &all[len(all)-1]
		x.segs = append(x.segs, r)
	}
	return all
}

func dataLines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// putChecksum fills in the checksum as whoever puts the segment on the wire
// does (MUST-2).
func putChecksum(tcp []byte, src, dst netip.Addr) {
	tcp[16], tcp[17] = 0, 0
	pseudo := append(src.AsSlice(), dst.AsSlice()...)
	pseudo = append(pseudo, 0, 6, byte(len(tcp)>>8), byte(len(tcp)))
	sum := 0
	for _, b := range [][]byte{pseudo, tcp} {
		for i := 0; i < len(b); i += 2 {
			sum += int(b[i])<<8 | int(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(tcp[16:], ^uint16(sum))
}

// TestRecordedReality plays each side of each exchange: what the other side
// sent is given to an endpoint, which must answer with headers equal to the
// recorded ones, byte for byte. Before a recorded teardown a connection is
// opened, once by us and once by the peer.
func TestRecordedReality(t *testing.T) {
	for _, x := range recordedExchanges(t) {
		first := x.segs[0]
		for _, side := range []netip.Addr{first.src, first.dst} {
			name := x.name + "/played by " + side.String()
			if x.open {
				t.Run(name, func(t *testing.T) { playRecorded(t, x, side, side == first.src) })
				continue
			}
			t.Run(name+" who called", func(t *testing.T) { playRecorded(t, x, side, true) })
			t.Run(name+" who was called", func(t *testing.T) { playRecorded(t, x, side, false) })
		}
	}
}

func playRecorded(t *testing.T, x exchange, side netip.Addr, active bool) {
	cfg, o, peer := likeRecorded(t, x, side)
	now := Time(time.Second)
	var e *Endpoint
	if active {
		e = NewActive(now, &cfg, o)
	} else {
		e = NewPassive(&cfg, o)
	}
	if !x.open {
		establish(t, e, now, active, peer)
	}
	for _, r := range x.segs {
		now = now.Add(r.after)
		if e.NextTimeout() <= now {
			t.Fatalf("%s: a timer was due before it", r.name)
		}
		if r.src != side {
			wantNothing(t, e, now, "before "+r.name)
			var s Segment
			if _, _, why := ParseSegment(r.header, &s); why != ReasonNone {
				t.Fatalf("%s: %s", r.name, why)
			}
			if why := e.HandleSegment(now, &s); why != ReasonNone {
				t.Fatalf("%s: %s", r.name, why)
			}
			continue
		}
		if Flags(r.header[13]).Has(FIN) {
			e.CloseWrite(now)
		}
		var s Segment
		if !e.PollSegment(now, &s) {
			t.Fatalf("%s: nothing leaves in %s", r.name, e.State())
		}
		src, dst := binary.BigEndian.Uint16(r.header), binary.BigEndian.Uint16(r.header[2:])
		got := AppendHeader(nil, src, dst, &s)
		putChecksum(got, r.src, r.dst)
		if !bytes.Equal(got, r.header) {
			t.Fatalf("%s: sent\n%x, recorded\n%x", r.name, got, r.header)
		}
	}
	wantNothing(t, e, now, "after the last segment")
	want := Established
	if !x.open {
		want = TimeWait
		if side == x.segs[0].dst {
			want = Closed
		}
	}
	if e.State() != want {
		t.Errorf("ends in %s, wanted %s", e.State(), want)
	}
}

// likeRecorded sets an endpoint up as the recorded side was: initial sequence
// number, window and options. peer is the other side's initial sequence
// number.
func likeRecorded(t *testing.T, x exchange, side netip.Addr) (cfg Config, o Open, peer Seq) {
	t.Helper()
	cfg = DefaultConfig()
	o = Open{MSS: 1460, MTU: 1500, WindowScale: -1}
	var ours, theirs bool
	for _, r := range x.segs {
		var s Segment
		ParseSegment(r.header, &s)
		first := s.Seq
		if !s.Flags.Has(SYN) {
			first--
		}
		switch {
		case r.src != side && !theirs:
			theirs, peer = true, first
		case r.src == side:
			if !ours {
				ours, o.ISS = true, first
			}
			if s.Flags.Has(SYN) {
				o.SYNWindow, o.MSS = s.Window, int(s.Options.MSS)
			}
			cfg.ReceiveBuffer = int(s.Window)
		}
	}
	return cfg, o, peer
}

// establish brings e to ESTABLISHED with a peer that sends an MSS option and
// no other.
func establish(t *testing.T, e *Endpoint, now Time, active bool, peer Seq) {
	t.Helper()
	var out Segment
	syn := Segment{Seq: peer, Flags: SYN, Window: 8760, Options: Options{Has: HasMSS, MSS: 1460}}
	if active {
		e.PollSegment(now, &out)
		syn.Flags, syn.Ack = SYN|ACK, out.Seq+1
		e.HandleSegment(now, &syn)
		e.PollSegment(now, &out)
	} else {
		e.HandleSegment(now, &syn)
		e.PollSegment(now, &out)
		e.HandleSegment(now, &Segment{Seq: peer + 1, Ack: out.Seq + 1, Flags: ACK, Window: 8760})
	}
	wantNothing(t, e, now, "after the handshake")
	if e.State() != Established {
		t.Fatalf("state is %s", e.State())
	}
}

func wantNothing(t *testing.T, e *Endpoint, now Time, when string) {
	t.Helper()
	var s Segment
	if e.PollSegment(now, &s) {
		t.Fatalf("%s: %s seq %d ack %d leaves", when, s.Flags, s.Seq, s.Ack)
	}
}
