package splice

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"tcpmitm/endpoint"
)

func fromSource(a netip.Addr) *endpoint.Tuple {
	t := endpoint.NewTuple(netip.AddrPortFrom(a, 1), addrPort("10.2.0.2:80"))
	return &t
}

func TestSourcesOfIPv6AreNetworks(t *testing.T) {
	c := newSourceCount([32]byte{1}, 0)
	c.add(fromSource(netip.MustParseAddr("fd01::1")), 3)
	for address, want := range map[string]int64{
		"fd01::1": 3, "fd01::ffff:ffff:ffff:ffff": 3, "fd01:0:0:1::1": 0, "fd02::1": 0, "10.1.0.1": 0,
	} {
		if n := c.of(fromSource(netip.MustParseAddr(address))); n != want {
			t.Errorf("%s has %d, want %d", address, n, want)
		}
	}
	c.add(fromSource(netip.MustParseAddr("10.1.0.1")), 1)
	if n := c.of(fromSource(netip.MustParseAddr("10.1.0.2"))); n != 0 {
		t.Errorf("the neighbour in IPv4 has %d", n)
	}
}

// TestManySourcesTakeNoMemoryAndStayApart: with as many sources as there are
// places none is counted too low, few by one too high, and when all are gone nothing
// is left.
func TestManySourcesTakeNoMemoryAndStayApart(t *testing.T) {
	const sources = 100_000
	c := newSourceCount([32]byte{2}, sources)
	r := rand.New(rand.NewPCG(1, 2))
	has := map[*endpoint.Tuple]int64{}
	for i := range sources {
		s := fromSource(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}))
		has[s] = 1
		if r.IntN(1000) == 0 {
			has[s] = 200
		}
		c.add(s, int32(has[s]))
	}
	high, far := 0, 0
	for s, n := range has {
		switch got := c.of(s); {
		case got < n:
			t.Fatalf("%v has %d, counted are %d", s.Source(), n, got)
		case got > n+2:
			far++
			fallthrough
		case got > n:
			high++
		}
	}
	if high > sources/10 || far > sources/1000 {
		t.Errorf("of %d sources %d are counted too high, and %d of them by more than 2", sources, high, far)
	}
	for s, n := range has {
		c.add(s, int32(-n))
	}
	for i := range c.rows {
		for k := range c.rows[i] {
			if n := c.rows[i][k].Load(); n != 0 {
				t.Fatalf("%d is left in row %d", n, i)
			}
		}
	}
	if newSourceCount([32]byte{2}, 1<<40).mask+1 != mostSources || newSourceCount([32]byte{2}, 1).mask+1 != leastSources {
		t.Error("the table's size has no bound")
	}
}

// TestWhereASourceIsCountedIsSecret: who does not know the secret cannot find
// sources that share a victim's counters.
func TestWhereASourceIsCountedIsSecret(t *testing.T) {
	a, b := newSourceCount([32]byte{1}, 0), newSourceCount([32]byte{2}, 0)
	s := fromSource(netip.MustParseAddr("10.1.0.1"))
	a.add(s, 1)
	same := 0
	for i := range a.rows {
		for k := range a.rows[i] {
			if a.rows[i][k].Load() == 1 {
				b.add(s, 1)
				same += int(b.rows[i][k].Load())
				b.add(s, -1)
			}
		}
	}
	if same == sourceRows {
		t.Error("two secrets put a source in the same places")
	}
}
