package endpoint

import (
	"net/netip"
	"testing"
	"time"
)

func TestISN(t *testing.T) {
	g := NewISNGenerator([32]byte{1})
	a, b := netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:80")
	tuple, back := NewTuple(a, b), NewTuple(b, a)
	now := Time(5 * time.Second)
	first := g.ISS(now, &tuple)
	// MUST-8: the clock ticks every 4 microseconds.
	if got := first.To(g.ISS(now.Add(time.Second), &tuple)); got != 250_000 {
		t.Errorf("in a second the ISN moves by %d, wanted 250000", got)
	}
	if first == g.ISS(now, &back) {
		t.Error("both directions have the same ISN")
	}
	other := NewISNGenerator([32]byte{2})
	if first == other.ISS(now, &tuple) {
		t.Error("the secret does not matter")
	}
	if g.TSOffset(&tuple) == uint32(g.ISS(0, &tuple)) {
		t.Error("the timestamp offset gives the ISN's hash away")
	}
}
