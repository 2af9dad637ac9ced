package endpoint

import (
	"testing"
	"time"
	"unsafe"
)

// steady is an established pair without a link: what one sends, the other
// handles at once.
type steady struct {
	now  Time
	pool *Pool
	a, b *Endpoint
	seg  Segment
}

func newSteady(tb testing.TB) *steady {
	s := &steady{now: Time(time.Second), pool: NewPool(0)}
	cfg := DefaultConfig()
	cfg.Pool = s.pool
	s.a = NewActive(s.now, &cfg, testOpen(1))
	s.b = NewPassive(&cfg, testOpen(2))
	s.exchange()
	if s.a.State() != Established || s.b.State() != Established {
		tb.Fatalf("states are %s and %s", s.a.State(), s.b.State())
	}
	return s
}

// exchange moves segments until both are silent. A sent payload is one piece
// here, and arrives in a buffer, as from the kernel.
func (s *steady) exchange() {
	for moved := true; moved; {
		moved = false
		for _, d := range [2][2]*Endpoint{{s.a, s.b}, {s.b, s.a}} {
			for d[0].PollSegment(s.now, &s.seg) {
				moved = true
				in := s.seg
				in.Pieces = nil
				if len(s.seg.Pieces) > 0 {
					in.Buffer = s.pool.Get(SlabSize)
					in.Payload = in.Buffer.Bytes()[:0]
					for _, p := range s.seg.Pieces {
						in.Payload = append(in.Payload, p...)
					}
				}
				d[1].HandleSegment(s.now, &in)
				if in.Buffer != nil {
					in.Buffer.Release()
				}
			}
		}
	}
}

// transfer moves n octets from a to b.
func (s *steady) transfer(n int) {
	b := s.pool.Get(n)
	s.a.Write(s.now, NewChunk(b.Bytes()[:n], b))
	b.Release()
	s.now = s.now.Add(100 * time.Microsecond)
	s.exchange()
	for {
		c, ok := s.b.Read(s.now, 1<<20)
		if !ok {
			break
		}
		c.Release()
	}
	s.a.TakeEvents()
	s.b.TakeEvents()
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, n := range []int{1, 1000, 60000} {
		s := newSteady(t)
		for range 100 {
			s.transfer(n)
		}
		if got := testing.AllocsPerRun(1000, func() { s.transfer(n) }); got != 0 {
			t.Errorf("%d octets: %v allocations a transfer", n, got)
		}
	}
}

func TestIdleEndpointIsSmall(t *testing.T) {
	// What fits Go's size class of 896 octets, 8 of which are its own; an
	// endpoint with its congestion control may have 1 KiB.
	const limit = 896 - 8
	if n := unsafe.Sizeof(Endpoint{}) + unsafe.Sizeof(cubic{}); n > 1<<10 {
		t.Errorf("an endpoint and its congestion control take %d octets", n)
	}
	if n := unsafe.Sizeof(Endpoint{}); n > limit {
		t.Errorf("an endpoint takes %d octets, more than %d", n, limit)
	}
	s := newSteady(t)
	s.transfer(60000)
	s.now = s.now.Add(time.Second)
	s.a.HandleTimeout(s.now)
	s.b.HandleTimeout(s.now)
	s.exchange()
	if n := s.pool.InUse(); n != 0 {
		t.Errorf("idle endpoints hold %d octets of buffers", n)
	}
}

func BenchmarkTransfer(b *testing.B) {
	for _, bench := range []struct {
		name string
		n    int
	}{{"1", 1}, {"1448", 1448}, {"65160", 65160}} {
		b.Run(bench.name, func(b *testing.B) {
			s := newSteady(b)
			b.SetBytes(int64(bench.n))
			b.ReportAllocs()
			for b.Loop() {
				s.transfer(bench.n)
			}
		})
	}
}
