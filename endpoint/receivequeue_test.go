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
			sum, chunks := 0, 0
			for i, r := range q.ooo {
				held := 0
				for _, c := range r.chunks {
					held += len(c.Data)
				}
				if held != r.Len() || i > 0 && !q.ooo[i-1].End.Before(r.Start) {
					t.Fatalf("seed %d: run %d of %d octets holds %d, or touches the one before", seed, i, r.Len(), held)
				}
				sum += held
				chunks += len(r.chunks)
			}
			if sum != q.oooLen || chunks != q.waiting {
				t.Fatalf("seed %d: %d octets out of order in %d chunks, counted %d in %d", seed, sum, chunks, q.oooLen, q.waiting)
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
	q.releaseReassembly()
	for i := range 2 * maxWaiting {
		q.insert(nil, Seq(10+leastWaiting*i), make([]byte, leastWaiting), nil)
	}
	if q.waiting != maxWaiting || q.oooLen != maxWaiting*leastWaiting {
		t.Errorf("%d chunks of %d octets are kept, wanted %d", q.waiting, q.oooLen, maxWaiting)
	}
	// Backwards, each octet is a chunk of its own, with a buffer of its own.
	q.releaseReassembly()
	for i := range 2 * maxHoles {
		q.insert(nil, Seq(100_000-i), []byte{1}, nil)
	}
	if q.waiting != maxHoles {
		t.Errorf("%d chunks of one octet are kept, wanted %d", q.waiting, maxHoles)
	}
}

// Behind one hole waits a whole window of a long path, packet by packet:
// 4 MiB in segments of 536 octets.
func TestOneHoleKeepsAWindow(t *testing.T) {
	const mss = 536
	var q receiveQueue
	n := (4 << 20) / mss
	for i := 1; i <= n; i++ {
		if !q.insert(nil, Seq(i*mss), make([]byte, mss), nil) {
			t.Fatalf("packet %d of %d behind a hole was dropped", i, n)
		}
	}
	if len(q.ooo) != 1 || q.oooLen != n*mss {
		t.Errorf("%d runs of %d octets", len(q.ooo), q.oooLen)
	}
}
