package main

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// testLocks are names that no other test and no tcpmitm uses.
func testLocks(t *testing.T) locks {
	name := fmt.Sprintf("@tcpmitm-test/%d/%s", os.Getpid(), t.Name())
	return locks{run: name + "/run", guard: name + "/guard"}
}

func TestClaimIsExclusive(t *testing.T) {
	n := testLocks(t)
	lock, squatter, err := n.claim()
	if err != nil || squatter {
		t.Fatalf("first claim: squatter %v, %v", squatter, err)
	}
	if got := holder(n.run); got != os.Getpid() {
		t.Errorf("held by process %d, want ours, %d", got, os.Getpid())
	}
	if _, _, err := n.claim(); !errors.Is(err, errRunning) {
		t.Errorf("second claim: %v, want %v", err, errRunning)
	}
	lock.Close()
	if lock, _, err = n.claim(); err != nil {
		t.Fatalf("claim after the end of the first: %v", err)
	}
	lock.Close()
}

// A run that starts while the old one is still dying gets the name.
func TestClaimWaitsForTheDying(t *testing.T) {
	n := testLocks(t)
	old, err := hold(n.run)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { old.Close() })
	lock, _, err := n.claim()
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
}

// A start waits until the guard of the run before has ended, or the guard
// would remove the new rules.
func TestClaimWaitsForTheGuard(t *testing.T) {
	n := testLocks(t)
	guard, err := hold(n.guard)
	if err != nil {
		t.Fatal(err)
	}
	const busy = 100 * time.Millisecond
	time.AfterFunc(busy, func() { guard.Close() })
	began := time.Now()
	lock, _, err := n.claim()
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if took := time.Since(began); took < busy {
		t.Errorf("the claim took %v: it did not wait for the guard", took)
	}
}

func TestGuardLeavesARunAlone(t *testing.T) {
	n := testLocks(t)
	lock, _, err := n.claim()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if n.vacant(os.Getpid() + 1) {
		t.Error("the guard of a dead run does not see a live one")
	}
}

// The kernel closes a dead run's files one after another: its guard waits for
// the lock to go.
func TestGuardWaitsForItsRun(t *testing.T) {
	n := testLocks(t)
	lock, err := hold(n.run)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { lock.Close() })
	if !n.vacant(os.Getpid()) {
		t.Error("the guard takes its dead run for another one")
	}
}

// The name can be asked for more often than the socket's queue is long.
func TestHolderIsAnswered(t *testing.T) {
	n := testLocks(t)
	lock, err := hold(n.run)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for i := range 5000 {
		if holder(n.run) == 0 {
			t.Fatalf("question %d was not answered", i+1)
		}
	}
}
