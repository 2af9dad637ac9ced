package stream

import (
	"bytes"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// bench drives a pipeline in virtual time, as a relay would.
type bench struct {
	t    testing.TB
	p    *Pipeline
	pool *endpoint.Pool
	now  endpoint.Time
	room int // what the receiver takes still; negative: no limit
	back []byte
	out  []piece
	acts []Act
}

// piece is what came out at one time.
type piece struct {
	at    time.Duration
	data  string
	alone bool
}

const epoch = endpoint.Time(time.Hour)

func newBench(t testing.TB, list ...rules.Policy) *bench {
	t.Helper()
	plan := Compile(list, rules.Client, 7)
	if plan == nil {
		t.Fatal("no plan")
	}
	pool := endpoint.NewPool(0)
	return &bench{t: t, p: plan.New(pool, 1), pool: pool, now: epoch, room: -1}
}

// turn moves what can be moved.
func (b *bench) turn() {
	for {
		moved := false
		for n := b.p.Space(); n > 0 && len(b.back) > 0; n = b.p.Space() {
			n = min(n, len(b.back), endpoint.SlabSize)
			c := alloc(b.pool, n)
			c.Data = append(c.Data, b.back[:n]...)
			b.back = b.back[n:]
			b.p.Push(c)
			moved = true
		}
		b.p.Run(b.now)
		b.acts = append(b.acts, b.p.Acts()...)
		for b.room != 0 {
			limit := 1 << 20
			if b.room > 0 {
				limit = b.room
			}
			c, alone, ok := b.p.Pull(limit)
			if !ok {
				break
			}
			moved = true
			if b.room > 0 {
				b.room -= len(c.Data)
			}
			b.out = append(b.out, piece{b.now.Sub(epoch), string(c.Data), alone})
			c.Release()
		}
		if !moved {
			return
		}
	}
}

// send pushes as much as there is space for; the rest waits.
func (b *bench) send(data string) {
	b.back = append(b.back, data...)
	b.turn()
}

func (b *bench) close() {
	if len(b.back) > 0 {
		b.t.Fatal("closed before all was pushed")
	}
	b.p.Close()
	b.turn()
}

// advance lets time pass, with a turn wherever the pipeline wants one.
func (b *bench) advance(d time.Duration) {
	end := b.now.Add(d)
	for n := 0; b.p.NextTimeout() <= end; n++ {
		if n > 1_000_000 {
			b.t.Fatal("the pipeline never rests")
		}
		if b.p.NextTimeout() <= b.now && n > 0 && b.room != 0 {
			b.t.Fatalf("it wants to be run at %v and did nothing", b.p.NextTimeout().Sub(epoch))
		}
		b.now = max(b.now, b.p.NextTimeout())
		b.turn()
	}
	b.now = end
}

// all is what has come out, and forgets it.
func (b *bench) all() string {
	var s bytes.Buffer
	for _, x := range b.out {
		s.WriteString(x.data)
	}
	b.out = nil
	return s.String()
}

func (b *bench) want(why, data string) {
	b.t.Helper()
	if got := b.all(); got != data {
		b.t.Fatalf("%s: got %.80q (%d octets), want %.80q (%d)", why, got, len(got), data, len(data))
	}
}

// wantEnd demands how the direction has ended, and that nothing is left.
func (b *bench) wantEnd(why string, how rules.Ending) {
	b.t.Helper()
	if got, ok := b.p.Ended(); !ok || got != how {
		b.t.Fatalf("%s: ended is %v, %v; want %v", why, got, ok, how)
	}
	b.wantNothingHeld(why)
}

func (b *bench) wantOpen(why string) {
	b.t.Helper()
	if how, ok := b.p.Ended(); ok {
		b.t.Fatalf("%s: it has ended by %v", why, how)
	}
}

func (b *bench) wantNothingHeld(why string) {
	b.t.Helper()
	if o, c := b.p.Held(); o != 0 || c != 0 || b.pool.InUse() != 0 {
		b.t.Fatalf("%s: %d octets in %d chunks are held, %d octets of the pool in use", why, o, c, b.pool.InUse())
	}
}
