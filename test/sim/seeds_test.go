package sim

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestKeptSeeds runs the seeds that have found something, before all others:
// a change of the drawing may have changed what they mean, but what is cheap
// to repeat is repeated.
func TestKeptSeeds(t *testing.T) {
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		seed, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil || len(words) < 3 {
			t.Errorf("%q: want a seed, the commit at which it found something, and what", line)
			continue
		}
		n++
		runSeed(t, seed, false)
	}
	if n == 0 {
		t.Error("no seed is kept")
	}
}
