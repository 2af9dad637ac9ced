package endpoint

import (
	"math"
	"math/bits"
	"net/netip"
	"testing"
	"time"
)

// isnSeries are ways in which an attacker gathers initial sequence numbers, of
// which the next one must tell him nothing. The tuple is that of what we send:
// for the client leg the server's port is the source, for the server leg the
// client's.
var isnSeries = []struct {
	name  string
	tuple func(i int) Tuple
}{
	{"client leg, ports in a row", func(i int) Tuple { return isnTuple("10.2.0.2", "10.1.0.2", 80, uint16(1024+i)) }},
	{"client leg, addresses in a row", func(i int) Tuple {
		a := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		return isnTuple("10.2.0.2", a.String(), 80, 4000)
	}},
	{"server leg, ports in a row", func(i int) Tuple { return isnTuple("10.1.0.2", "10.2.0.2", uint16(1024+i), 80) }},
	{"server leg, one client, many servers", func(i int) Tuple {
		a := netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		return isnTuple("10.1.0.2", a.String(), 4000, 80)
	}},
	{"client leg, IPv6, ports in a row", func(i int) Tuple { return isnTuple("fd02::2", "fd01::2", 80, uint16(1024+i)) }},
	{"server leg, IPv6, ports in a row", func(i int) Tuple { return isnTuple("fd01::2", "fd02::2", uint16(1024+i), 80) }},
}

func isnTuple(from, to string, fromPort, toPort uint16) Tuple {
	return NewTuple(netip.AddrPortFrom(netip.MustParseAddr(from), fromPort), netip.AddrPortFrom(netip.MustParseAddr(to), toPort))
}

// isnSample is how many numbers are looked at. The bounds are such that a good
// generator fails none of the tests in some millions of runs; there is one run,
// for the secrets are fixed.
const isnSample = 20_000

// maxDeviations bounds how far a statistic may be from its mean, in standard
// deviations.
const maxDeviations = 5.5

// TestISNsLookRandom: the numbers of connections that follow each other, and
// their differences, pass chi-square of each octet, monobit, runs, and serial
// correlation, at whatever pace they are asked for.
func TestISNsLookRandom(t *testing.T) {
	for _, s := range isnSeries {
		t.Run(s.name, func(t *testing.T) {
			for _, pace := range []time.Duration{0, 10 * time.Microsecond, 100 * time.Millisecond} {
				g := NewISNGenerator([32]byte{7, byte(pace)})
				numbers, differences := make([]uint32, isnSample), make([]uint32, isnSample)
				now := Time(time.Hour)
				for i := range numbers {
					tuple := s.tuple(i)
					numbers[i] = uint32(g.ISS(now, &tuple))
					differences[i] = numbers[i] - numbers[max(i-1, 0)]
					now = now.Add(pace)
				}
				looksRandom(t, pace.String()+", numbers", numbers)
				looksRandom(t, pace.String()+", differences", differences[1:])
			}
		})
	}
}

// TestISNsThatAreNotRandomAreFound: the judge itself must see what is wrong
// with a clock, a counter and a weak hash.
func TestISNsThatAreNotRandomAreFound(t *testing.T) {
	for name, number := range map[string]func(i uint32) uint32{
		"a counter":          func(i uint32) uint32 { return i * 64000 },
		"a clock":            func(i uint32) uint32 { return 25_000 * i },
		"a weak hash":        func(i uint32) uint32 { return i * 0x9e3779b9 },
		"a half of the bits": func(i uint32) uint32 { return i*2654435761 ^ i<<7&0xffff0000 },
	} {
		numbers := make([]uint32, isnSample)
		for i := range numbers {
			numbers[i] = number(uint32(i))
		}
		if worst, _ := deviation(numbers); worst <= maxDeviations {
			t.Errorf("%s passes, with %.1f deviations", name, worst)
		}
	}
}

// TestISNsOfOneTupleGrow: those of the same addresses and ports follow the
// clock (RFC 6528), so that a peer's TIME-WAIT takes the next connection, and
// tell nothing of another tuple's.
func TestISNsOfOneTupleGrow(t *testing.T) {
	g := NewISNGenerator([32]byte{9})
	a, b := isnSeries[0].tuple(1), isnSeries[0].tuple(2)
	now := Time(time.Hour)
	last, apart := g.ISS(now, &a), map[uint32]bool{}
	for range 1000 {
		now = now.Add(time.Second)
		next := g.ISS(now, &a)
		if step := last.To(next); step != int(time.Second/isnTick) {
			t.Fatalf("in a second the number moves by %d, want %d", step, time.Second/isnTick)
		}
		last = next
	}
	for i := range byte(100) {
		g := NewISNGenerator([32]byte{9, i})
		apart[uint32(g.ISS(now, &b)-g.ISS(now, &a))] = true
	}
	if len(apart) < 100 {
		t.Errorf("with 100 secrets two tuples are %d distances apart", len(apart))
	}
}

func looksRandom(t *testing.T, what string, numbers []uint32) {
	t.Helper()
	if worst, test := deviation(numbers); worst > maxDeviations {
		t.Errorf("%s: %s is %.1f standard deviations from what is random", what, test, worst)
	}
}

// deviation is the statistic that is farthest from its mean, in standard
// deviations, and which it is.
func deviation(numbers []uint32) (worst float64, test string) {
	n := float64(len(numbers))
	note := func(name string, z float64) {
		if z = math.Abs(z); z > worst {
			worst, test = z, name
		}
	}
	ones, runs := 0, 1
	var octets [4][256]float64
	var product, sum, squares float64
	mean := math.Exp2(31)
	for i, v := range numbers {
		ones += bits.OnesCount32(v)
		runs += bits.OnesCount32((v ^ v>>1) & 0x7fffffff)
		for k := range octets {
			octets[k][v>>(8*k)&0xff]++
		}
		if i > 0 {
			runs += int((numbers[i-1] & 1) ^ v>>31)
			product += (float64(numbers[i-1]) - mean) * (float64(v) - mean)
		}
		sum += float64(v) - mean
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	all := 32 * n
	note("monobit", (float64(ones)-all/2)/math.Sqrt(all/4))
	note("runs", (float64(runs)-(all+1)/2)/math.Sqrt((all-1)/4))
	for k := range octets {
		chi := 0.0
		for _, got := range octets[k] {
			chi += (got - n/256) * (got - n/256) / (n / 256)
		}
		// Of 255 degrees of freedom, by Wilson and Hilferty.
		const df = 255.0
		note("chi-square of an octet", (math.Cbrt(chi/df)-(1-2/(9*df)))/math.Sqrt(2/(9*df)))
	}
	note("mean", sum/(math.Exp2(32)/math.Sqrt(12)*math.Sqrt(n)))
	if squares > 0 {
		note("serial correlation", product/squares*math.Sqrt(n))
	}
	return worst, test
}
