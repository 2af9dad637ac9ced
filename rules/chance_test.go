package rules

import (
	"math"
	"sync"
	"testing"
)

// taken returns, for n connections that reach a rule, which it takes.
func taken(m Match, seed uint64, n int) []bool {
	r := &Rule{Match: m, Seed: seed}
	r.begin()
	out := make([]bool, n)
	for i := range out {
		_, out[i] = r.take()
	}
	return out
}

func count(list []bool) (n int) {
	for _, v := range list {
		if v {
			n++
		}
	}
	return n
}

func TestEveryTakesTheNth(t *testing.T) {
	got := taken(Match{Probability: 1, Every: 3}, 0, 9)
	for i, v := range got {
		if want := (i+1)%3 == 0; v != want {
			t.Errorf("every = 3, connection %d: taken %v, want %v", i+1, v, want)
		}
	}
	for _, every := range []uint64{0, 1} {
		if got := count(taken(Match{Probability: 1, Every: every}, 0, 5)); got != 5 {
			t.Errorf("every = %d took %d of 5, want all", every, got)
		}
	}
}

func TestProbabilityBounds(t *testing.T) {
	if got := count(taken(Match{Probability: 0}, 1, 1000)); got != 0 {
		t.Errorf("probability 0 took %d of 1000", got)
	}
	if got := count(taken(Match{Probability: 1}, 1, 1000)); got != 1000 {
		t.Errorf("probability 1 took %d of 1000", got)
	}
}

// Within five standard deviations of what a fair draw gives, for many seeds:
// the seeds are fixed, so this either always passes or never.
func TestProbabilityShare(t *testing.T) {
	const n = 10000
	for _, p := range []float64{0.01, 0.5, 0.9} {
		for seed := range uint64(50) {
			got := float64(count(taken(Match{Probability: p}, seed, n)))
			if sd := math.Sqrt(n * p * (1 - p)); math.Abs(got-n*p) > 5*sd {
				t.Errorf("probability %v, seed %d: took %v of %d", p, seed, got, n)
			}
		}
	}
}

func TestSeedDecidesTheSequence(t *testing.T) {
	same := func(a, b []bool) bool {
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	m := Match{Probability: 0.5}
	a := taken(m, 7, 64)
	if !same(a, taken(m, 7, 64)) {
		t.Error("the same seed gave two sequences")
	}
	b := taken(m, 8, 64)
	if same(a, b) {
		t.Error("seeds 7 and 8 gave one sequence")
	}
	if same(a[1:], b[:63]) {
		t.Error("seed 8 is the sequence of seed 7 shifted by one")
	}
}

func TestEveryComesBeforeProbability(t *testing.T) {
	all := taken(Match{Probability: 0.5}, 3, 100)
	thinned := taken(Match{Probability: 0.5, Every: 4}, 3, 400)
	for i, want := range all {
		if got := thinned[4*i+3]; got != want {
			t.Fatalf("the %d-th of every 4th: taken %v, want %v as without every", i+1, got, want)
		}
	}
	if count(thinned) != count(all) {
		t.Error("connections between the every-th were taken")
	}
}

func TestCountersUnderConcurrency(t *testing.T) {
	r := &Rule{Match: Match{Probability: 1, Every: 5}}
	r.begin()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				r.take()
			}
		})
	}
	wg.Wait()
	if r.Reached() != 4000 || r.Taken() != 800 {
		t.Errorf("reached %d, taken %d; want 4000 and 800", r.Reached(), r.Taken())
	}
}

// The rule numbers what it takes, without gaps.
func TestOrdinals(t *testing.T) {
	r := &Rule{Match: Match{Probability: 0.5, Every: 2}, Seed: 1}
	r.begin()
	want := uint64(0)
	for range 200 {
		if got, ok := r.take(); ok {
			if want++; got != want {
				t.Fatalf("ordinal %d, want %d", got, want)
			}
		}
	}
	if want < 20 {
		t.Errorf("only %d of 200 were taken", want)
	}
}

// Each argument of Draw counts, and so does the order of the salts.
func TestDrawDependsOnAll(t *testing.T) {
	seen := map[uint64]string{}
	for what, v := range map[string]uint64{
		"nothing": Bits(1, 1), "seed": Bits(2, 1), "ordinal": Bits(1, 2), "salt 0": Bits(1, 1, 0), "salt 1": Bits(1, 1, 1),
		"salts 0 1": Bits(1, 1, 0, 1), "salts 1 0": Bits(1, 1, 1, 0),
	} {
		if other, met := seen[v]; met {
			t.Errorf("%s and %s draw the same", what, other)
		}
		seen[v] = what
	}
	sum := 0.0
	for n := range uint64(10000) {
		d := Draw(7, 3, 1, n)
		if d < 0 || d >= 1 {
			t.Fatalf("drew %v", d)
		}
		sum += d
	}
	if sum < 4850 || sum > 5150 {
		t.Errorf("the mean of 10000 draws is %v", sum/10000)
	}
	if n := testing.AllocsPerRun(100, func() { Draw(1, 2, 3, 4) }); n != 0 {
		t.Errorf("Draw allocates %v times", n)
	}
}
