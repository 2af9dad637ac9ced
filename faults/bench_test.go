package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

const ms = time.Millisecond

// bench is a stage between two scripted endpoints; now is virtual. What comes
// out is noted as lines such as "+10ms server out 1:101 P." with numbers
// relative to the sender's ISN.
type bench struct {
	t      *testing.T
	stage  *Stage
	w      *Wire
	now    endpoint.Time
	start  endpoint.Time
	lines  []string
	events []string
	bytes  [2][2]map[int]byte // what came out, by position
	last   endpoint.Segment
	head   endpoint.IPHeader
	notes  []string
}

// The numbers of the scripted connection: our ISS and the peer's on each leg.
const (
	ours   endpoint.Seq = 0xfffff000
	theirs endpoint.Seq = 7000
	mss                 = 100
)

func newBench(t *testing.T, list ...rules.Fault) *bench {
	t.Helper()
	r := &rules.Rule{Name: "r", Seed: 7, Match: rules.Match{Probability: 1}, Faults: list}
	rules.New([]*rules.Rule{r})
	b := &bench{t: t, w: &Wire{Pool: endpoint.NewPool(0)}, start: endpoint.Time(time.Hour)}
	b.now = b.start
	b.stage = NewStage(Compile(r), b.w, 1)
	for l := range b.bytes {
		b.bytes[l] = [2]map[int]byte{{}, {}}
	}
	return b
}

func (b *bench) Pass(now endpoint.Time, l endpoint.Leg, out bool, seg *endpoint.Segment, head endpoint.IPHeader, note string) {
	dir, iss := "out", ours
	if !out {
		dir, iss = "in", theirs
	}
	from := iss.To(seg.Seq)
	flags := strings.Replace(seg.Flags.String(), "P", "", 1)
	b.lines = append(b.lines, fmt.Sprintf("+%v %v %s %d:%d %s", now.Sub(b.start), l, dir, from, from+seg.PayloadLen(), flags))
	b.last, b.head = *seg, head
	b.notes = append(b.notes, note)
	at := from - 1
	for _, p := range append([][]byte{seg.Payload}, seg.Pieces...) {
		for _, c := range p {
			if c != octet(at) {
				b.t.Fatalf("octet %d came out as %d, want %d", at, c, octet(at))
			}
			b.bytes[l][direction(out)][at] = c
			at++
		}
	}
}

func (b *bench) Fired(now endpoint.Time, e *Event) {
	b.events = append(b.events, fmt.Sprintf("+%v %s by %v n %d", now.Sub(b.start), e.Text, e.By, e.N))
}

// octet is what stands at a position of every stream.
func octet(at int) byte { return byte(at ^ at>>8) }

func octets(from, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = octet(from + i)
	}
	return p
}

// give hands the stage a segment: from and n are relative to the ISN.
func (b *bench) give(l endpoint.Leg, out bool, flags endpoint.Flags, from, n int) {
	self, other := ours, theirs
	if !out {
		self, other = theirs, ours
	}
	s := &endpoint.Segment{Seq: self.Plus(from), Ack: other + 1, Flags: flags, Window: 65000}
	data := octets(from-1, n)
	switch {
	case n == 0:
	case out:
		// In pieces of odd lengths.
		for len(data) > 37 {
			s.Pieces, data = append(s.Pieces, data[:37]), data[37:]
		}
		s.Pieces = append(s.Pieces, data)
		if n > mss {
			s.MSS = mss
		}
	default:
		s.Payload = data
	}
	b.stage.Handle(b.now, l, out, s, endpoint.IPHeader{}, b)
}

func (b *bench) ack(l endpoint.Leg, out bool, window uint16, acked int) {
	self, other := ours, theirs
	if !out {
		self, other = theirs, ours
	}
	s := &endpoint.Segment{Seq: self + 1, Ack: other.Plus(acked), Flags: endpoint.ACK, Window: window}
	b.stage.Handle(b.now, l, out, s, endpoint.IPHeader{}, b)
}

// open plays the handshake of a leg and forgets it.
func (b *bench) open(l endpoint.Leg) {
	out := l == endpoint.Server
	o := endpoint.Options{Has: endpoint.HasMSS, MSS: mss}
	syn, synack := ours, theirs
	if !out {
		syn, synack = theirs, ours
	}
	b.stage.Handle(b.now, l, out, &endpoint.Segment{Seq: syn, Flags: endpoint.SYN, Window: 65000, Options: o}, endpoint.IPHeader{}, b)
	b.stage.Handle(b.now, l, !out, &endpoint.Segment{Seq: synack, Ack: syn + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 65000, Options: o}, endpoint.IPHeader{}, b)
	b.ack(l, out, 65000, 1)
	b.stage.Reach(b.now, l, rules.Established, b)
	b.lines, b.events, b.notes = nil, nil, nil
}

// after lets time pass, with a call wherever the stage wants one.
func (b *bench) after(d time.Duration) {
	end := b.now.Add(d)
	for at := b.stage.Next(); at <= end; at = b.stage.Next() {
		b.now = max(b.now, at)
		b.stage.Release(b.now, b)
	}
	b.now = end
}

// want compares what came out since the last want.
func (b *bench) want(why string, lines ...string) {
	b.t.Helper()
	if !slices.Equal(b.lines, lines) {
		b.t.Errorf("%s: got\n\t%s\nwant\n\t%s", why, strings.Join(b.lines, "\n\t"), strings.Join(lines, "\n\t"))
	}
	b.lines = nil
}

func (b *bench) wantFired(why string, lines ...string) {
	b.t.Helper()
	if !slices.Equal(b.events, lines) {
		b.t.Errorf("%s: fired\n\t%s\nwant\n\t%s", why, strings.Join(b.events, "\n\t"), strings.Join(lines, "\n\t"))
	}
	b.events = nil
}

// wantEmpty demands that nothing is held and no memory is.
func (b *bench) wantEmpty() {
	b.t.Helper()
	if n := b.w.Pool.InUse(); b.stage.Held() != 0 || b.w.Segments != 0 || b.w.Octets != 0 || n != 0 || b.stage.octets != 0 {
		b.t.Errorf("held: %d segments of the stage, %d of all, %d octets, %d in buffers", b.stage.Held(), b.w.Segments, b.w.Octets, n)
	}
	if b.w.lent != 0 || len(b.w.pieces) != 0 {
		b.t.Errorf("%d segments and %d pieces were not given back", b.w.lent, len(b.w.pieces))
	}
}
