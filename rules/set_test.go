package rules

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func conn(client, server string) Conn {
	return Conn{Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}
}

func always(name string, m Match) *Rule {
	m.Probability = 1
	return &Rule{Name: name, Match: m}
}

func wantFirst(t *testing.T, s *Set, c Conn, want string) {
	t.Helper()
	got := ""
	if r, _ := s.First(c); r != nil {
		got = r.Name
	}
	if got != want {
		t.Errorf("First(%v -> %v) = %q, want %q", c.Client, c.Server, got, want)
	}
}

func TestFirstMatchWins(t *testing.T) {
	s := New([]*Rule{
		always("web from lab", Match{Clients: prefixes("10.9.0.0/16"), ServerPorts: []PortRange{{80, 80}, {8000, 8099}}}),
		always("web", Match{ServerPorts: []PortRange{{80, 80}}}),
		always("v6", Match{Servers: prefixes("::/0")}),
		always("one host", Match{Servers: prefixes("192.0.2.7/32")}),
		always("top", Match{Servers: prefixes("255.255.255.255/32"), ServerPorts: []PortRange{{65535, 65535}}}),
		always("low client port", Match{ClientPorts: []PortRange{{1, 1023}}}),
	})
	for _, v := range []struct{ client, server, want string }{
		{"10.9.1.1:5000", "192.0.2.7:80", "web from lab"},
		{"10.9.1.1:5000", "192.0.2.7:8099", "web from lab"},
		{"10.9.1.1:5000", "192.0.2.7:8100", "one host"},
		{"10.10.0.0:5000", "192.0.2.7:80", "web"},
		{"10.8.255.255:5000", "192.0.2.7:80", "web"},
		{"[fd00::1]:5000", "[fd00::2]:81", "v6"},
		{"[fd00::1]:5000", "[fd00::2%eth0]:81", "v6"},
		{"[fd00::1]:5000", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:81", "v6"},
		{"1.1.1.1:5000", "192.0.2.6:81", ""},
		{"1.1.1.1:5000", "192.0.2.8:81", ""},
		{"1.1.1.1:5000", "255.255.255.255:65535", "top"},
		{"1.1.1.1:5000", "255.255.255.255:65534", ""},
		{"1.1.1.1:1023", "192.0.2.8:81", "low client port"},
		{"1.1.1.1:1024", "192.0.2.8:81", ""},
		// IPv4 in IPv6 clothes is IPv4.
		{"[::ffff:10.9.1.1]:5000", "[::ffff:192.0.2.7]:80", "web from lab"},
	} {
		wantFirst(t, s, conn(v.client, v.server), v.want)
	}
}

func TestNoRules(t *testing.T) {
	c := conn("1.1.1.1:1", "2.2.2.2:2")
	wantFirst(t, New(nil), c, "")
	var missing *Set
	wantFirst(t, missing, c, "")
	if missing.Len() != 0 || missing.Rules() != nil {
		t.Error("a nil set has rules")
	}
}

// A rule that passes a connection on by chance or count leaves it to the next.
func TestNotTakenGoesOn(t *testing.T) {
	every := always("every second", Match{})
	every.Match.Every = 2
	s := New([]*Rule{every, always("rest", Match{})})
	c := conn("1.1.1.1:1", "2.2.2.2:2")
	for i := range 6 {
		want := "rest"
		if i%2 == 1 {
			want = "every second"
		}
		wantFirst(t, s, c, want)
	}
	if every.Reached() != 6 || every.Taken() != 3 {
		t.Errorf("reached %d, taken %d; want 6 and 3", every.Reached(), every.Taken())
	}
}

func randomAddr(rnd *rand.Rand) netip.Addr {
	if rnd.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, byte(rnd.IntN(3)), byte(rnd.IntN(4)), byte(rnd.IntN(8))})
	}
	var b [16]byte
	b[0], b[7], b[15] = 0xfd, byte(rnd.IntN(3)), byte(rnd.IntN(8))
	return netip.AddrFrom16(b)
}

func randomRule(rnd *rand.Rand, name string) *Rule {
	m := Match{}
	list := func() (out []netip.Prefix) {
		for range rnd.IntN(4) {
			a := randomAddr(rnd)
			p, _ := a.Prefix(rnd.IntN(a.BitLen() + 1))
			out = append(out, p)
		}
		return out
	}
	ranges := func() (out []PortRange) {
		for range rnd.IntN(3) {
			first := rnd.IntN(32)
			out = append(out, PortRange{uint16(first), uint16(first + rnd.IntN(5))})
		}
		if rnd.IntN(10) == 0 {
			out = append(out, PortRange{65000, 65535})
		}
		return out
	}
	m.Clients, m.Servers, m.ClientPorts, m.ServerPorts = list(), list(), ranges(), ranges()
	return always(name, m)
}

// The index finds what reading the rules one after another finds.
func TestIndexAgreesWithPlainReading(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 5, 64, 130, 5000} {
		list := make([]*Rule, n)
		for i := range list {
			list[i] = randomRule(rnd, fmt.Sprint(i))
			if n == 5000 && i < 4990 {
				// Far apart matches: whole summary words without a candidate.
				list[i].Match.ServerPorts = []PortRange{{40000, 40000}}
			}
		}
		s := New(list)
		for range 3000 {
			c := Conn{
				Client: netip.AddrPortFrom(randomAddr(rnd), uint16(rnd.IntN(40))),
				Server: netip.AddrPortFrom(randomAddr(rnd), uint16(rnd.IntN(40))),
			}
			want := ""
			for _, r := range list {
				if r.Match.addresses(c) {
					want = r.Name
					break
				}
			}
			wantFirst(t, s, c, want)
			if t.Failed() {
				return
			}
		}
	}
}

func TestFirstAllocatesNothing(t *testing.T) {
	s := manyRules(1000)
	c := conn("10.9.1.1:5000", "192.0.2.7:999")
	if n := testing.AllocsPerRun(100, func() { s.First(c) }); n != 0 {
		t.Errorf("First allocates %v times", n)
	}
}

func TestTooManyRulesPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New took more than MaxRules")
		}
	}()
	New(make([]*Rule, MaxRules+1))
}

func manyRules(n int) *Set {
	list := make([]*Rule, n)
	for i := range list {
		list[i] = always(fmt.Sprint(i), Match{
			Servers:     []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)},
			ServerPorts: []PortRange{{uint16(i%60000 + 1), uint16(i%60000 + 1)}},
		})
	}
	return New(list)
}

// The cost of a connection must not grow with the number of rules.
func BenchmarkFirst(b *testing.B) {
	for _, n := range []int{0, 1, 10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			s := manyRules(n)
			last := n - 1
			c := Conn{
				Client: netip.MustParseAddrPort("192.0.2.1:5000"),
				Server: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(last >> 8), byte(last), 1}), uint16(max(last, 0)%60000+1)),
			}
			b.ReportAllocs()
			for b.Loop() {
				s.First(c)
			}
		})
	}
}
