package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcpmitm/trace"
)

var (
	seeds    = flag.Int("seeds", 200, "how many seeds to run")
	first    = flag.Uint64("seed", 1, "the first seed")
	workers  = flag.Int("workers", 0, "how many seeds run at the same time; 0: one for each core")
	progress = flag.Duration("progress", 0, "how often to tell on stderr how far it is; 0: never")
)

// TestSimulator runs each seed twice: what it finds wrong, it finds again.
func TestSimulator(t *testing.T) {
	if *seeds == 1 {
		runSeed(t, *first, testing.Verbose())
		return
	}
	n := *workers
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	began := time.Now()
	var next, done, failed atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(*seeds); i = next.Add(1) - 1 {
				if !runSeed(t, *first+uint64(i), false) {
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	stop := make(chan struct{})
	if *progress > 0 {
		go func() {
			for tick := time.NewTicker(*progress); ; {
				select {
				case <-stop:
					tick.Stop()
					return
				case <-tick.C:
					report(began, done.Load(), failed.Load())
				}
			}
		}()
	}
	all.Wait()
	close(stop)
	if testing.Verbose() || *progress > 0 {
		report(began, done.Load(), failed.Load())
	}
}

func report(began time.Time, done, failed int64) {
	d := time.Since(began)
	fmt.Fprintf(os.Stderr, "%d of %d seeds from %d on, %d failed, %v, %.0f seeds a second\n",
		done, *seeds, *first, failed, d.Round(time.Second), float64(done)/d.Seconds())
}

// runSeed runs one seed twice and tells whether all was well. A loud one
// shows what happens on the links, and the gateway's two legs as a ladder.
func runSeed(t *testing.T, seed uint64, loud bool) bool {
	w := newWorld(seed)
	s := newScenario(w)
	var ladder strings.Builder
	if loud {
		w.log = t.Logf
		tracer := trace.New(trace.Options{Ladder: &ladder})
		s.gw.watcher = tracer
		defer func() {
			tracer.Close()
			t.Logf("the gateway's connections:\n%s", ladder.String())
		}()
	}
	hash := s.play()
	again := newScenario(newWorld(seed))
	if got := again.play(); got != hash && len(w.bad) == 0 {
		w.fail("two runs differ: %#x and %#x", hash, got)
	}
	for _, bad := range w.bad {
		if *progress > 0 {
			fmt.Fprintf(os.Stderr, "seed %d: %s\n", seed, bad) // long before the test is over
		}
		t.Errorf("seed %d: %s\n\tgo test ./test/sim -run TestSimulator -seeds 1 -seed %d -v", seed, bad, seed)
	}
	return len(w.bad) == 0
}
