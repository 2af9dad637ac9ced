package rules

import (
	"math/rand/v2"
	"testing"
)

// A packed set holds the same rules as the dense one it was made from, also
// where whole summary words are empty.
func TestPackKeepsTheSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 63, 64, 65, 4096, 4097, 20000} {
		for _, in := range []int{0, 1, 3, n} {
			d := newDense(n)
			want := map[int]bool{}
			for range in {
				r := rnd.IntN(n)
				d.put(r, true)
				want[r] = true
			}
			gone := rnd.IntN(n)
			d.put(gone, false)
			delete(want, gone)
			s := d.pack()
			for r := range n {
				got := s.word(r/64)&(1<<(r%64)) != 0
				if got != want[r] {
					t.Fatalf("%d rules, %d put: rule %d in the packed set is %v, want %v", n, in, r, got, want[r])
				}
			}
			for w := range words(n) {
				if (s.summary(w/64)&(1<<(w%64)) != 0) != (d.words[w] != 0) {
					t.Fatalf("%d rules: summary bit of word %d is wrong", n, w)
				}
			}
		}
	}
}
