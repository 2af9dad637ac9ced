package stream

import (
	"bytes"
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

const ms = time.Millisecond

func text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return string(b)
}

func TestLatencyDelaysOctetsAndTheEnd(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Latency, By: 100 * ms})
	b.send("a")
	b.advance(30 * ms)
	b.send("b")
	b.close()
	b.advance(70*ms - 1)
	b.want("too early", "")
	b.advance(1)
	b.want("the first", "a")
	b.advance(30*ms - 1)
	b.want("too early for the second", "")
	b.wantOpen("the end comes with it")
	b.advance(1)
	b.want("the second", "b")
	b.wantEnd("and the end", rules.EndFIN)
	if len(b.acts) != 1 {
		t.Errorf("acts %v, want one", b.acts)
	}
}

func TestLatencyOfALateEnd(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Latency, By: 100 * ms})
	b.send("a")
	b.advance(time.Second)
	b.close()
	b.advance(100*ms - 1)
	b.wantOpen("the end is late, too")
	b.advance(1)
	b.wantEnd("now", rules.EndFIN)
}

func TestJitterKeepsTheOrderAndFollowsFromTheSeed(t *testing.T) {
	run := func(seed, ordinal uint64) string {
		pool := endpoint.NewPool(0)
		plan := Compile([]rules.Policy{{Do: rules.Latency, By: 50 * ms, Jitter: 40 * ms}}, rules.Client, seed)
		b := &bench{t: t, p: plan.New(pool, ordinal), pool: pool, now: epoch, room: -1}
		for i := range 100 {
			b.send(string(rune('!' + i%90)))
			b.advance(10 * ms)
		}
		b.advance(time.Second)
		var log strings.Builder
		last := time.Duration(0)
		distinct := map[time.Duration]bool{}
		for i, x := range b.out {
			if x.data != string(rune('!'+i%90)) {
				t.Fatalf("piece %d is %q", i, x.data)
			}
			late := x.at - time.Duration(i)*10*ms
			if late < 10*ms || late > 90*ms && x.at != last {
				t.Fatalf("piece %d is %v late", i, late)
			}
			distinct[late] = true
			last = x.at
			fmt.Fprint(&log, x.at, " ")
		}
		if len(b.out) != 100 || len(distinct) < 20 {
			t.Fatalf("%d pieces, %d different delays", len(b.out), len(distinct))
		}
		return log.String()
	}
	if run(1, 1) != run(1, 1) {
		t.Error("the same seed and ordinal gave different times")
	}
	if run(1, 1) == run(1, 2) || run(1, 1) == run(2, 1) {
		t.Error("another ordinal, or seed, gave the same times")
	}
}

func TestThrottleKeepsTheRate(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		octets int
	}{{10, 100}, {333, 5000}, {1000, 10000}, {123456.7, 1 << 20}, {1e6, 4 << 20}, {5e7, 16 << 20}, {3e9, 64 << 20}} {
		b := newBench(t, rules.Policy{Do: rules.Throttle, Rate: c.rate})
		got, sent, pieces, largest := 0, 0, 0, 0
		block := text(32 << 10)
		for got < c.octets {
			for len(b.back) == 0 && sent < c.octets {
				n := min(c.octets-sent, len(block))
				sent += n
				b.send(block[:n])
			}
			b.turn()
			at := b.now
			for _, x := range b.out {
				got += len(x.data)
			}
			if len(b.out) > 0 {
				pieces++
				n := 0
				for _, x := range b.out {
					n += len(x.data)
				}
				largest = max(largest, n)
			}
			b.out = nil
			if len(b.back) > 0 || got < c.octets && sent == c.octets {
				if next := b.p.NextTimeout(); next != endpoint.Never && next > at {
					// As the wheel does it: not before the next millisecond.
					b.now = (next/1e6 + 1) * 1e6
				}
			}
		}
		took := b.now.Sub(epoch).Seconds()
		want := float64(c.octets) / c.rate
		slack := 0.002 + pieceTime.Seconds() + max(burstTime.Seconds(), 2*slowTime.Seconds()*min(1, 2000/c.rate)) + want/1000
		if took < want-slack || took > want+slack {
			t.Errorf("%v a second: %d octets took %.4f s, want %.4f", c.rate, c.octets, took, want)
		}
		if p := float64(c.octets) / float64(pieces); p < min(c.rate*0.2, 500) {
			t.Errorf("%v a second: pieces of %.0f octets", c.rate, p)
		}
		if limit := c.rate*0.0155 + 64<<10 + 512; float64(largest) > limit {
			t.Errorf("%v a second: %d octets at once, want at most %.0f", c.rate, largest, limit)
		}
	}
}

func TestThrottleLetsABurstThrough(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Throttle, Rate: 1000, Burst: 5000})
	b.send(text(6000))
	b.want("the burst, at once", text(6000)[:5000])
	b.advance(time.Second - ms)
	if n := len(b.all()); n < 750 || n > 999 {
		t.Errorf("%d octets in the second after it", n)
	}
	b.advance(2 * ms)
	b.all()
	b.advance(2 * time.Second)
	b.send(text(3000))
	if n := len(b.all()); n < 1990 || n > 2010 {
		t.Errorf("%d octets after a pause of 2 s", n)
	}
	b.advance(10 * time.Second)
	b.all()
	b.close()
	b.wantEnd("all", rules.EndFIN)
}

// TestThrottleMakesUpForLateTimers: a host that wakes us late does not slow
// the stream down, up to a bound.
func TestThrottleMakesUpForLateTimers(t *testing.T) {
	for _, c := range []struct {
		late time.Duration
		loss float64
	}{{90 * ms, 0}, {200 * ms, 0.5}} {
		b := newBench(t, rules.Policy{Do: rules.Throttle, Rate: 1e6})
		got := 0
		for b.now < epoch.Add(10*time.Second) {
			for len(b.back) == 0 {
				b.send(text(50_000))
			}
			got += len(b.all())
			b.now = b.p.NextTimeout().Add(c.late)
			b.turn()
		}
		if share := float64(got) / 10e6; share < 1-c.loss-0.1 || share > 1.02 {
			t.Errorf("woken %v late: %.2f of the rate", c.late, share)
		}
	}
	// A pause of the sender is not made up for.
	b := newBench(t, rules.Policy{Do: rules.Throttle, Rate: 1e6})
	b.send(text(15_000))
	b.advance(10 * ms)
	b.all()
	b.advance(time.Second)
	b.send(text(60_000))
	if n := len(b.all()); n > 25_000 {
		t.Errorf("%d octets at once after a pause", n)
	}
}

func TestSliceMakesPiecesOfTheirOwn(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Slice, Size: 3, Gap: 10 * ms})
	b.send("abcdefgh")
	b.advance(time.Second)
	b.close()
	want := []piece{{0, "abc", true}, {10 * ms, "def", true}, {20 * ms, "gh", true}}
	if fmt.Sprint(b.out) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", b.out, want)
	}
	// A receiver that takes nothing gets no heap of pieces.
	b = newBench(t, rules.Policy{Do: rules.Slice, Size: 1})
	b.room = 0
	b.send("abc")
	if o := b.p.queues[1].len(); o != 1 {
		t.Errorf("%d pieces wait", o)
	}
	b.room = 2
	b.turn()
	b.want("two", "ab")
}

func TestSlicesSurviveLatencyAndHolding(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Slice, Size: 2}, rules.Policy{Do: rules.Latency, By: ms},
		rules.Policy{Do: rules.HoldUntil, Bytes: 5}, rules.Policy{Do: rules.Throttle, Rate: 1e6})
	b.send("abcd")
	b.advance(time.Second)
	b.want("less than was waited for", "")
	b.send("ef")
	b.advance(time.Second)
	for _, x := range b.out {
		if len(x.data) != 2 || !x.alone {
			t.Errorf("piece %v", x)
		}
	}
	b.want("all", "abcdef")
}

func TestLimitEndsAndDiscards(t *testing.T) {
	for _, how := range []rules.Ending{rules.EndFIN, rules.EndReset, rules.EndVanish} {
		b := newBench(t, rules.Policy{Do: rules.Limit, Bytes: 5, Then: how}, rules.Policy{Do: rules.Latency, By: 10 * ms})
		b.send("abc")
		b.send("defgh")
		b.wantOpen("what comes before the end is under way")
		b.advance(10 * ms)
		b.want("five", "abcde")
		b.wantEnd("the end", how)
		for range 100 {
			b.send(text(100_000))
		}
		b.want("nothing more", "")
		b.close()
		b.wantEnd("the end is what it was", how)
	}
	b := newBench(t, rules.Policy{Do: rules.Limit, Bytes: 5, Then: rules.EndReset})
	b.send("abcd")
	b.close()
	b.want("a shorter stream", "abcd")
	b.wantEnd("is not concerned", rules.EndFIN)
}

func TestHoldUntil(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.HoldUntil, Until: rules.Some(rules.Closing)})
	b.send("abc")
	b.close()
	b.p.Moments(Of(rules.Established, rules.FirstByte))
	b.advance(time.Hour)
	b.want("another moment", "")
	b.wantOpen("held")
	b.p.Moments(Of(rules.Closing))
	b.turn()
	b.want("the moment", "abc")
	b.wantEnd("and the end", rules.EndFIN)

	b = newBench(t, rules.Policy{Do: rules.HoldUntil, By: time.Second})
	b.send("a")
	b.advance(time.Second - 1)
	b.want("the time has not come", "")
	b.advance(1)
	b.want("now", "a")
	b.send("b")
	b.want("it is over for good", "b")

	b = newBench(t, rules.Policy{Do: rules.HoldUntil, Bytes: 10})
	b.send("abc")
	b.close()
	b.want("they will never come", "abc")
	b.wantEnd("so it ends", rules.EndFIN)

	// More than there is room for.
	b = newBench(t, rules.Policy{Do: rules.HoldUntil, Bytes: 1 << 40})
	big := text(maxHeld + 1000)
	b.send(big[:maxHeld-1000])
	b.want("there is room", "")
	b.send(big[maxHeld-1000:])
	b.want("the pipeline is full", big)
}

func TestCorruptChangesOneBitOfOneOctetInEvery(t *testing.T) {
	in := text(300_000)
	for _, every := range []uint64{1, 2, 7, 1000, 5000, 70_000} {
		r := rules.Policy{Do: rules.CorruptData, Every: every, Range: rules.Octets{From: 100, To: 250_000}}
		b := newBench(t, r)
		b.send(in)
		b.close()
		got := b.all()
		b.wantEnd("all", rules.EndFIN)
		if len(got) != len(in) {
			t.Fatalf("%d octets", len(got))
		}
		blocks := map[uint64]int{}
		for i := range len(got) {
			d := got[i] ^ in[i]
			if d == 0 {
				continue
			}
			if bits.OnesCount8(d) != 1 || i < 100 || i >= 250_000 {
				t.Fatalf("every %d: octet %d differs by %08b", every, i, d)
			}
			blocks[(uint64(i)-100)/every]++
		}
		if whole := (250_000 - 100) / every; uint64(len(blocks)) < whole || uint64(len(blocks)) > whole+1 {
			t.Errorf("every %d: %d blocks have a wrong octet, want %d", every, len(blocks), whole)
		}
		for k, n := range blocks {
			if n != 1 {
				t.Fatalf("every %d: block %d has %d", every, k, n)
			}
		}
		// The segments do not matter.
		b = newBench(t, r)
		for rest := in; rest != ""; {
			n := min(len(rest), 1+len(rest)*7919%1461)
			b.send(rest[:n])
			rest = rest[n:]
		}
		b.want("in other segments", got)
	}
}

func TestCorruptLeavesTheOriginalAlone(t *testing.T) {
	for _, every := range []uint64{10, 10_000} {
		b := newBench(t, rules.Policy{Do: rules.CorruptData, Every: every})
		c := alloc(b.pool, 60_000)
		c.Data = append(c.Data, text(60_000)...)
		data := c.Data
		b.p.Push(c)
		b.turn()
		if string(data) != text(60_000) {
			t.Errorf("every %d: the received buffer was written to", every)
		}
	}
}

func TestInsertAndDiscard(t *testing.T) {
	for _, c := range []struct {
		in, want string
		list     []rules.Policy
	}{
		{"abc", "+abc", []rules.Policy{{Do: rules.Insert, With: []byte("+")}}},
		{"abc", "a+bc", []rules.Policy{{Do: rules.Insert, With: []byte("+"), At: 1}}},
		{"abc", "abc+", []rules.Policy{{Do: rules.Insert, With: []byte("+"), At: 3}}},
		{"abc", "abc", []rules.Policy{{Do: rules.Insert, With: []byte("+"), At: 4}}},
		{"abcdef", "abef", []rules.Policy{{Do: rules.Discard, Range: rules.Octets{From: 2, To: 4}}}},
		{"abcdef", "ab", []rules.Policy{{Do: rules.Discard, Range: rules.Octets{From: 2}}}},
		{"abcdef", "", []rules.Policy{{Do: rules.Discard}}},
		{"abc", "[(abc", []rules.Policy{{Do: rules.Insert, With: []byte("(")}, {Do: rules.Insert, With: []byte("[")}}},
	} {
		for cut := range len(c.in) + 1 {
			b := newBench(t, c.list...)
			b.send(c.in[:cut])
			b.send(c.in[cut:])
			b.close()
			b.want(fmt.Sprint(c.list[0].String(), " cut at ", cut), c.want)
			b.wantEnd("all", rules.EndFIN)
		}
	}
	b := newBench(t, rules.Policy{Do: rules.Insert, With: []byte("hello\r\n")})
	b.turn()
	b.want("a greeting does not wait for an octet", "hello\r\n")
}

// TestWhatIsHeldIsBounded: each pipeline takes no more than its bound, with a
// receiver that takes nothing, and gives all of it back.
func TestWhatIsHeldIsBounded(t *testing.T) {
	for name, list := range map[string][]rules.Policy{
		"latency":      {{Do: rules.Latency, By: time.Hour}},
		"two of them":  {{Do: rules.Latency, By: time.Hour}, {Do: rules.Latency, By: time.Hour}},
		"throttle":     {{Do: rules.Throttle, Rate: 1}},
		"replace":      {{Do: rules.Replace, Find: []byte("aa"), With: bytes.Repeat([]byte("b"), 1000)}},
		"hold":         {{Do: rules.HoldUntil, By: time.Hour}},
		"all together": {{Do: rules.Slice, Size: 1}, {Do: rules.Latency, By: ms}, {Do: rules.Throttle, Rate: 1e6}, {Do: rules.CorruptData, Every: 3}},
	} {
		for _, size := range []int{1, 1400, 60_000} {
			b := newBench(t, list...)
			b.room = 0
			chunk := strings.Repeat("a", size)
			for range 10_000 {
				if b.send(chunk); len(b.back) > 0 {
					break
				}
				b.advance(ms / 10)
			}
			o, n := b.p.Held()
			if o > maxHeld+2*betweenOctets || n > maxHeldChunks+2*betweenItems || b.pool.InUse() > 6*maxHeld {
				t.Errorf("%s, chunks of %d: %d octets in %d chunks, %d of the pool", name, size, o, n, b.pool.InUse())
			}
			b.p.Release()
			b.p.Release()
			if b.pool.InUse() != 0 {
				t.Errorf("%s: %d octets of the pool are not given back", name, b.pool.InUse())
			}
		}
	}
}

func TestAFullPoolLeavesLittleRoom(t *testing.T) {
	pool := endpoint.NewPool(1000)
	taken := pool.Get(2000)
	p := Compile([]rules.Policy{{Do: rules.Latency, By: time.Hour}}, rules.Client, 0).New(pool, 1)
	if n := p.Space(); n != scarceHeld {
		t.Errorf("room for %d", n)
	}
	taken.Release()
	if n := p.Space(); n != maxHeld {
		t.Errorf("room for %d", n)
	}
}

func TestPoliciesOfOneDirectionOnly(t *testing.T) {
	list := []rules.Policy{{To: rules.Server, Do: rules.Latency, By: ms}, {To: rules.Client, Do: rules.Throttle}}
	if Compile(list, rules.Client, 0) != nil {
		t.Error("a throttle without a rate is a plan")
	}
	if p := Compile(list, rules.Server, 0); p == nil || len(p.makers) != 1 {
		t.Error("no plan for the server")
	}
	if Compile(nil, rules.Client, 0) != nil {
		t.Error("nothing is a plan")
	}
	b := newBench(t, rules.Policy{To: rules.Server, Do: rules.Latency, By: ms}, rules.Policy{Do: rules.Limit, Bytes: 1})
	b.send("ab")
	if len(b.acts) != 1 || b.acts[0].Policy != 1 {
		t.Errorf("acts %v: the index is that in the rule's list", b.acts)
	}
}
