package endpoint

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Octets that come in any order, overlapping, come out in order and once.
func TestReassemblyInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		pool := NewPool(0)
		want := make([]byte, 5000)
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		var q receiveQueue
		start := Seq(0xfffffc00)
		nxt := start
		for nxt != start.Plus(len(want)) {
			from := rng.IntN(len(want))
			to := min(from+1+rng.IntN(400), len(want))
			if have := start.To(nxt); from < have {
				from = have
			}
			if from >= to {
				continue
			}
			if seq := start.Plus(from); seq == nxt {
				q.push(keep(pool, want[from:to], nil))
				nxt = q.drain(nxt.Plus(to - from))
			} else {
				q.insert(pool, seq, want[from:to], nil)
			}
			sum := 0
			q.blocks(func(r Range) bool { sum += r.Len(); return true })
			if sum != q.oooLen {
				t.Fatalf("seed %d: %d octets out of order, counted %d", seed, sum, q.oooLen)
			}
		}
		var got []byte
		for {
			c, ok := q.pop(1 + rng.IntN(1000))
			if !ok {
				break
			}
			got = append(got, c.Data...)
			c.Release()
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: wrong octets", seed)
		}
		if pool.InUse() != 0 || q.oooLen != 0 {
			t.Fatalf("seed %d: %d octets of buffers leaked", seed, pool.InUse())
		}
	}
}

func TestTinySegmentsShareBuffers(t *testing.T) {
	pool := NewPool(0)
	var q receiveQueue
	for i := range 1000 {
		q.add(pool, []byte{byte(i)}, nil)
	}
	if pool.InUse() > 4000 {
		t.Errorf("1000 octets take %d", pool.InUse())
	}
	for i := range 1000 {
		c, ok := q.pop(1)
		if !ok || c.Data[0] != byte(i) {
			t.Fatalf("octet %d is wrong", i)
		}
		c.Release()
	}
	if pool.InUse() != 0 {
		t.Errorf("%d octets of buffers leaked", pool.InUse())
	}
}

func TestReassemblyIsBounded(t *testing.T) {
	var q receiveQueue
	for i := range 2 * maxHoles {
		q.insert(nil, Seq(10+2*i), []byte{1}, nil)
	}
	if len(q.ooo) != maxHoles {
		t.Errorf("%d holes are kept, wanted %d", len(q.ooo), maxHoles)
	}
}
