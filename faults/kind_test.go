package faults

import (
	"fmt"
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// kindsWord names a set of kinds, any left out.
func kindsWord(k kinds) string {
	s := ""
	for o := rules.SYN; o <= rules.WindowUpdate; o++ {
		if k&kind(o) != 0 {
			s += " " + o.String()
		}
	}
	return s
}

// TestKindsOfSegments plays one connection on each leg and looks at what its
// segments are taken for.
func TestKindsOfSegments(t *testing.T) {
	const syn, rst = endpoint.SYN, endpoint.RST
	type step struct {
		opens bool // the side that opened the connection sends
		flags endpoint.Flags
		from  int
		n     int
		ack   int
		win   uint16
		sack  uint8
		want  string
	}
	steps := []step{
		{true, syn, 0, 0, 0, 1000, 0, " syn"},
		{true, syn, 0, 0, 0, 1000, 0, " syn"},
		{false, syn | ack, 0, 0, 1, 1000, 0, " syn-ack"},
		{true, ack, 1, 0, 1, 1000, 0, " handshake-ack"},
		{true, ack, 1, 0, 1, 1000, 0, " ack"},
		{false, syn | ack, 0, 0, 1, 1000, 0, " syn-ack"},
		{true, ack, 1, 0, 1, 1000, 0, " handshake-ack"},
		{true, ack | psh, 1, 10, 1, 1000, 0, " data"},
		{false, ack, 1, 0, 11, 990, 0, " ack"},
		{false, ack, 1, 0, 11, 1000, 0, " window-update"},
		{false, ack, 1, 0, 11, 1000, 0, " ack"},
		{false, ack, 1, 0, 11, 999, 1, " ack"},
		{false, ack, 1, 10, 11, 999, 0, " data"},
		{true, ack, 11, 0, 11, 999, 0, " ack"},
		{true, ack | fin, 11, 5, 11, 999, 0, " data fin"},
		{true, ack | fin, 16, 0, 11, 999, 0, " fin"},
		{false, ack, 11, 0, 16, 999, 0, " ack"},
		{false, ack, 11, 0, 17, 999, 0, " last-ack"},
		{false, ack | fin, 11, 0, 17, 999, 0, " fin"},
		{true, ack, 17, 0, 12, 999, 0, " last-ack"},
		{true, ack, 17, 0, 12, 999, 0, " last-ack"},
		{true, rst, 17, 0, 0, 0, 0, " rst"},
		{false, rst | ack, 12, 0, 17, 0, 0, " rst"},
		{false, psh, 12, 0, 0, 0, 0, ""},
	}
	for _, leg := range []endpoint.Leg{client, server} {
		var sides [2]side // of the opener and the other
		for i, st := range steps {
			self, other := ours, theirs
			d, back := &sides[0], &sides[1]
			if !st.opens {
				self, other, d, back = theirs, ours, back, d
			}
			s := &endpoint.Segment{Seq: self.Plus(st.from), Flags: st.flags, Window: st.win, Payload: make([]byte, st.n)}
			if st.flags.Has(ack) {
				s.Ack = other.Plus(st.ack)
			}
			s.Options.SACKBlocks = st.sack
			k := d.kindsOf(s, st.n, back, st.opens)
			if got := kindsWord(k); got != st.want || k&kind(rules.Any) == 0 {
				t.Errorf("%v leg, segment %d (%v %d:%d): is%q, want%q", leg, i, st.flags, st.from, st.from+st.n, got, st.want)
			}
			d.see(s, back, (leg == server) == st.opens)
		}
	}
}

// TestPositions: the position in the stream goes on beyond 2^32, and what a
// stranger sends from outside the window does not move it.
func TestPositions(t *testing.T) {
	var d, back side
	d.begin(ours, &endpoint.Options{})
	back.begin(theirs, &endpoint.Options{Has: endpoint.HasWindowScale, WindowScale: 14})
	d.scales = true
	want := uint64(0)
	const n = 60000
	for range 100000 {
		// The peer's window lets the next one through.
		back.see(&endpoint.Segment{Seq: theirs + 1, Ack: d.nxt, Flags: ack, Window: 60000}, &d, true)
		seg := &endpoint.Segment{Seq: d.nxt, Flags: ack, Payload: make([]byte, n)}
		if got := d.position(seg.Seq); got != want {
			t.Fatalf("position %d, want %d", got, want)
		}
		d.see(seg, &back, false)
		want += n
	}
	if want < 1<<32 {
		t.Fatal("the stream is too short to tell")
	}
	if got := d.position(d.nxt - n); got != want-n {
		t.Errorf("position of the last segment is %d, want %d", got, want-n)
	}
	stranger := &endpoint.Segment{Seq: d.nxt + 1<<30, Flags: ack | fin, Payload: make([]byte, n)}
	d.see(stranger, &back, false)
	if got := d.position(d.nxt); got != want || d.closed {
		t.Errorf("a segment out of the window moves the position from %d to %d; closed %v", want, got, d.closed)
	}
	d = side{}
	d.begin(5, &endpoint.Options{})
	if got := d.position(2); got != 0 {
		t.Errorf("position of what stands before the stream is %d", got)
	}
}

func TestWireSize(t *testing.T) {
	plain := &endpoint.Segment{Payload: make([]byte, 5000)}
	stamped := &endpoint.Segment{Payload: make([]byte, 5000), Options: endpoint.Options{Has: endpoint.HasTimestamps}}
	for want, got := range map[int]int{
		1460: wireSize(plain, false, &side{mss: 1460}), 1448: wireSize(stamped, false, &side{mss: 1460}),
		536: wireSize(plain, false, &side{}), 1: wireSize(stamped, false, &side{mss: 8}),
		900: wireSize(&endpoint.Segment{MSS: 900, Payload: plain.Payload}, true, &side{}), 5000: wireSize(plain, true, &side{}),
	} {
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// TestCutKeepsAll: whatever the sizes, the parts are the whole, and flags and
// urgent pointer stand where they belong.
func TestCutKeepsAll(t *testing.T) {
	w := &Wire{}
	for _, n := range []int{1, 99, 100, 101, 250, 1000} {
		for _, size := range []int{1, 3, 37, 100, 5000} {
			for _, pieces := range []bool{false, true} {
				seg := &endpoint.Segment{Seq: ours, Flags: ack | psh | fin | endpoint.CWR | endpoint.URG, Urgent: uint16(n/2 + 1)}
				data := octets(0, n)
				if pieces {
					for len(data) > 41 {
						seg.Pieces, data = append(seg.Pieces, data[:41]), data[41:]
					}
					seg.Pieces = append(seg.Pieces, data)
				} else {
					seg.Payload = data
				}
				at := 0
				for at < n {
					end := min(at+size, n)
					var p endpoint.Segment
					w.part(&p, seg, at, end, n, size)
					where := fmt.Sprintf("%d octets by %d, %d to %d", n, size, at, end)
					got := append([]byte(nil), p.Payload...)
					for _, b := range p.Pieces {
						got = append(got, b...)
					}
					if string(got) != string(octets(at, end-at)) || p.Seq != ours.Plus(at) {
						t.Errorf("%s: wrong octets", where)
					}
					if last := end == n; p.Flags.Has(fin) != last || p.Flags.Has(psh) != last || p.Flags.Has(endpoint.CWR) != (at == 0) {
						t.Errorf("%s: flags %v", where, p.Flags)
					}
					if left := n/2 + 1 - at; left > 0 != p.Flags.Has(endpoint.URG) || left > 0 && int(p.Urgent) != left {
						t.Errorf("%s: urgent %d, %v", where, p.Urgent, p.Flags)
					}
					w.pieces = w.pieces[:0]
					at = end
				}
			}
		}
	}
}
