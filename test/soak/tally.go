package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// How many failures a report tells; more are counted.
const (
	maxFailures = 40
	maxOfKind   = 8 // of one kind of traffic
)

// outcome is how it went with something that was tried.
type outcome int

const (
	fine      outcome = iota
	byRule            // ended in a way that a rule may have wanted
	gaveUp            // after a silence that a rule may have wanted
	skipped           // there were too many of the kind already
	broken            // failed, and must not
	hung              // did not get on within its bound, and must
	corrupted         // other octets were read than were written
	outcomes
)

func (o outcome) String() string {
	return [...]string{"as meant", "ended by a rule", "given up", "skipped", "broken", "hung", "corrupted"}[o]
}

// tally counts how it went, by kind of traffic.
type tally struct {
	began time.Time

	mu       sync.Mutex
	kinds    []string // in the order in which they were first seen
	counts   map[string]*[outcomes]int
	octets   map[string]int64
	failures []string
	more     int // failures that failures has no room for

	say io.Writer // is told of each failure that the report will tell
}

func newTally(say io.Writer) *tally {
	return &tally{began: time.Now(), counts: map[string]*[outcomes]int{}, octets: map[string]int64{}, say: say}
}

// note counts an outcome; err is why it is none that was wanted.
func (t *tally) note(kind string, o outcome, octets int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.counts[kind]
	if n == nil {
		n = new([outcomes]int)
		t.counts[kind] = n
		t.kinds = append(t.kinds, kind)
	}
	n[o]++
	t.octets[kind] += octets
	if o < broken {
		return
	}
	if len(t.failures) == maxFailures || n[broken]+n[hung]+n[corrupted] > maxOfKind {
		t.more++
		return
	}
	f := fmt.Sprintf("after %v: %s: %v: %v", time.Since(t.began).Round(time.Millisecond), kind, o, err)
	t.failures = append(t.failures, f)
	// Whoever ends a long run early has no report.
	fmt.Fprintln(t.say, "soak: FAILED", f)
}

// fail tells of something that must not be and belongs to no connection.
func (t *tally) fail(kind string, err error) { t.note(kind, broken, 0, err) }

// total sums up all kinds.
func (t *tally) total() (n [outcomes]int, octets int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind, c := range t.counts {
		for i := range c {
			n[i] += c[i]
		}
		octets += t.octets[kind]
	}
	return n, octets
}

// judge says what an error means on a connection of a class.
func judge(c class, err error) outcome {
	switch {
	case err == nil:
		return fine
	case errors.Is(err, errWrong):
		return corrupted
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		if c == silent {
			return gaveUp
		}
		return hung
	case c == ended || c == silent:
		return byRule
	}
	return broken
}
