package endpoint

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// The queue behaves as one long slice of which the front is cut off.
func TestSendQueueAgainstASlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pool := NewPool(0)
	start := Seq(0xfffff000)
	var q sendQueue
	q.init(start)
	var model []byte
	una := start
	for step := range 20000 {
		switch rng.IntN(3) {
		case 0:
			n := 1 + rng.IntN(3000)
			b := pool.Get(n)
			for i := range b.Bytes()[:n] {
				b.Bytes()[i] = byte(rng.Uint32())
			}
			model = append(model, b.Bytes()[:n]...)
			q.push(NewChunk(b.Bytes()[:n], b))
			b.Release()
		case 1:
			n := rng.IntN(len(model) + 1)
			una = una.Plus(n)
			model = model[n:]
			q.ackTo(una)
		case 2:
			if len(model) == 0 {
				continue
			}
			at := rng.IntN(len(model))
			n := 1 + rng.IntN(len(model)-at)
			pieces, got := q.gather(nil, una.Plus(at), n)
			if got < n && len(pieces) < maxPieces {
				t.Fatalf("step %d: gathered %d of %d octets", step, got, n)
			}
			if !bytes.Equal(bytes.Join(pieces, nil), model[at:at+got]) {
				t.Fatalf("step %d: wrong octets", step)
			}
		}
		if q.len() != len(model) {
			t.Fatalf("step %d: %d octets held, wanted %d", step, q.len(), len(model))
		}
	}
	q.release()
	if pool.InUse() != 0 {
		t.Errorf("%d octets of buffers leaked", pool.InUse())
	}
}

func TestSendQueueJoinsTinyWrites(t *testing.T) {
	pool := NewPool(0)
	var q sendQueue
	q.init(0)
	for range 1000 {
		b := pool.Get(1)
		q.push(NewChunk(b.Bytes()[:1], b))
		b.Release()
	}
	if pool.InUse() > 4000 {
		t.Errorf("1000 octets take %d", pool.InUse())
	}
}
