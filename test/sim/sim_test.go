package sim

import (
	"flag"
	"fmt"
	"testing"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds to run")
	first = flag.Uint64("seed", 1, "the first seed")
)

// TestSimulator runs each seed twice: what it finds wrong, it finds again.
func TestSimulator(t *testing.T) {
	for i := range *seeds {
		seed := *first + uint64(i)
		// One seed alone tells what happens in it.
		loud := *seeds == 1 && testing.Verbose()
		w := newWorld(t, seed, loud)
		trace := newScenario(w).play()
		again := newWorld(t, seed, false)
		if got := newScenario(again).play(); got != trace {
			t.Errorf("seed %d: two runs differ", seed)
		}
		for _, bad := range w.bad {
			t.Errorf("seed %d: %s\n\tgo test ./test/sim -seeds 1 -seed %d -v", seed, bad, seed)
		}
	}
	if testing.Verbose() {
		fmt.Printf("%d seeds from %d on\n", *seeds, *first)
	}
}
