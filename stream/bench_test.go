package stream

import (
	"regexp"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// benchmarkChunk is what one chunk of 64 KiB costs on its way.
const benchmarkChunk = 64 << 10

// cycle is a pipeline in steady state: each turn a chunk comes and what is due
// goes, at 50 microseconds a turn (10 Gbit/s).
type cycle struct {
	p    *Pipeline
	pool *endpoint.Pool
	slab *endpoint.Buffer
	now  endpoint.Time
	out  int
}

func newCycle(list ...rules.Policy) *cycle {
	pool := endpoint.NewPool(0)
	c := &cycle{p: Compile(list, rules.Client, 1).New(pool, 1), pool: pool, now: epoch}
	c.slab = pool.Get(endpoint.SlabSize)
	for i := range c.slab.Bytes() {
		c.slab.Bytes()[i] = 'a' + byte(i*7%26)
	}
	return c
}

func (c *cycle) turn() {
	c.now = c.now.Add(50 * time.Microsecond)
	if c.p.Space() >= benchmarkChunk {
		c.p.Push(endpoint.NewChunk(c.slab.Bytes()[:benchmarkChunk], c.slab))
	}
	for {
		c.p.Run(c.now)
		x, _, ok := c.p.Pull(1 << 20)
		if !ok {
			break
		}
		c.out += len(x.Data)
		x.Release()
	}
	c.p.Acts()
}

var steady = []struct {
	name string
	list []rules.Policy
}{
	{"latency 1ms", []rules.Policy{{Do: rules.Latency, By: ms}}},
	{"latency 2ms jitter 1ms", []rules.Policy{{Do: rules.Latency, By: 2 * ms, Jitter: ms}}},
	{"throttle above", []rules.Policy{{Do: rules.Throttle, Rate: 5e9}}},
	{"throttle below", []rules.Policy{{Do: rules.Throttle, Rate: 1e9}}},
	{"corrupt every 1000", []rules.Policy{{Do: rules.CorruptData, Every: 1000}}},
	{"corrupt every 1000000", []rules.Policy{{Do: rules.CorruptData, Every: 1e6}}},
	{"limit", []rules.Policy{{Do: rules.Limit, Bytes: 1 << 60}}},
	{"replace, nothing found", []rules.Policy{{Do: rules.Replace, Find: []byte("needle"), With: []byte("x")}}},
	{"replace, found every 26", []rules.Policy{{Do: rules.Replace, Find: []byte("ahov"), With: []byte("x")}}},
	{"pattern, nothing begins", []rules.Policy{{Do: rules.Replace, Pattern: regexp.MustCompile(`X+`), With: []byte("x")}}},
	{"pattern, often begins", []rules.Policy{{Do: rules.Replace, Pattern: regexp.MustCompile(`[aeiou]h?X`), With: []byte("x")}}},
	{"latency and throttle", []rules.Policy{{Do: rules.Latency, By: ms}, {Do: rules.Throttle, Rate: 5e9}}},
}

func BenchmarkChunkOf64KiB(b *testing.B) {
	for _, s := range steady {
		b.Run(s.name, func(b *testing.B) {
			c := newCycle(s.list...)
			for range 100 {
				c.turn()
			}
			b.ReportAllocs()
			b.SetBytes(benchmarkChunk)
			c.out = 0
			b.ResetTimer()
			for range b.N {
				c.turn()
			}
			b.ReportMetric(float64(c.out)/float64(b.N)/benchmarkChunk, "chunks/turn")
		})
	}
}

// TestNothingIsAllocatedForAChunk: a pipeline in steady state makes no
// garbage.
func TestNothingIsAllocatedForAChunk(t *testing.T) {
	for _, s := range steady {
		c := newCycle(s.list...)
		for range 500 {
			c.turn()
		}
		c.out = 0
		if n := testing.AllocsPerRun(500, c.turn); n > 0 {
			t.Errorf("%s: %.2f allocations for a chunk", s.name, n)
		}
		if c.out < 500*benchmarkChunk/4 {
			t.Errorf("%s: %d octets came out: the turn is not what it claims to be", s.name, c.out)
		}
	}
}
