package trace

import (
	"strings"
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// However long the numbers are, an arrow fills its column.
func TestArrowFits(t *testing.T) {
	for _, leg := range []endpoint.Leg{endpoint.Client, endpoint.Server} {
		for _, out := range []bool{false, true} {
			for _, e := range []splice.SegmentEvent{
				{},
				{Flags: endpoint.RST},
				{Flags: endpoint.ACK | endpoint.PSH, Seq: 4294967295, Ack: 4294967295, Len: 65531, Window: 65535, Scale: 14},
				{Flags: 0xff, Seq: 4294967295, Ack: 4294967295, Len: 65531, Window: 65535, Scale: 14},
			} {
				e.Leg, e.Out = leg, out
				got := arrow(told(&e))
				if width(got) != legWidth {
					t.Errorf("%q has %d columns, want %d", got, width(got), legWidth)
				}
				if right := strings.HasSuffix(got, "▶"); right != ((leg == endpoint.Client) == !out) {
					t.Errorf("%v leg, out %v: %q points the wrong way", leg, out, got)
				}
			}
		}
	}
}

func TestHeader(t *testing.T) {
	for _, v := range []struct {
		e    splice.SegmentEvent
		want string
	}{
		{splice.SegmentEvent{Flags: endpoint.SYN, Seq: 77, IRS: 77, Window: 64240}, "SYN seq 0 win 64240"},
		// Across the wrap of the sequence numbers.
		{splice.SegmentEvent{Flags: endpoint.ACK, Seq: 5, IRS: 4294967290, Ack: 12, ISS: 2, Window: 3, Scale: 4}, "ACK seq 11 ack 10 win 48"},
		{splice.SegmentEvent{Out: true, Flags: endpoint.ACK, Seq: 12, ISS: 2, Ack: 5, IRS: 4294967290, Len: 7}, "ACK seq 10 ack 11 len 7 win 0"},
		{splice.SegmentEvent{Flags: endpoint.RST | endpoint.ACK, Ack: 1}, "RST,ACK seq 0 ack 1"},
	} {
		if got := header(told(&v.e)); got != v.want {
			t.Errorf("got %q, want %q", got, v.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, v := range []struct{ text, want string }{
		{"", ""},
		{"one two three", "one two|three"},
		{"abcdefghijk l", "abcdefgh|ijk l"},
		{"a abcdefghijk", "a|abcdefgh|ijk"},
	} {
		if got := strings.Join(wrap(v.text, 8), "|"); got != v.want {
			t.Errorf("wrap(%q) = %q, want %q", v.text, got, v.want)
		}
	}
}
