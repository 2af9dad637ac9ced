package endpoint

import "testing"

func TestPoolCountsWhatIsHeld(t *testing.T) {
	p := NewPool(70 << 10)
	slab := p.Get(SlabSize)
	if p.Full() {
		t.Error("full with one slab")
	}
	small := p.Get(100)
	if got := len(small.Bytes()); got != classSizes[0] {
		t.Errorf("a small buffer has %d octets", got)
	}
	c := NewChunk(slab.Bytes()[:10], slab)
	if !slab.Shared() {
		t.Error("the chunk does not hold its buffer")
	}
	head := c.Split(4)
	if len(head.Data) != 4 || len(c.Data) != 6 {
		t.Errorf("split into %d and %d", len(head.Data), len(c.Data))
	}
	slab.Release()
	head.Release()
	if p.InUse() < SlabSize {
		t.Error("the slab was given back while a chunk holds it")
	}
	c.Release()
	small.Release()
	if p.InUse() != 0 {
		t.Errorf("%d octets in use at the end", p.InUse())
	}
	again := p.Get(SlabSize)
	if again != slab {
		t.Error("a released slab is not used again")
	}
	p.Get(SlabSize)
	if !p.Full() {
		t.Error("not full beyond the limit")
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	b := NewPool(0).Get(1)
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b.Release()
}
