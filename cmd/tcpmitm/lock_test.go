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

// A start waits until a guard that cleans has ended, or the guard would
// remove the new rules.
func TestClaimWaitsForTheGuard(t *testing.T) {
	n := testLocks(t)
	began, free := make(chan struct{}), make(chan struct{})
	cleaned := make(chan time.Time, 1)
	go n.cleanAfter(1, func() error {
		close(began)
		<-free
		cleaned <- time.Now()
		return nil
	})
	<-began
	time.AfterFunc(100*time.Millisecond, func() { close(free) })
	lock, _, err := n.claim()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	select {
	case at := <-cleaned:
		if time.Now().Before(at) {
			t.Error("the claim came before the guard was done")
		}
	default:
		t.Error("the claim did not wait for the guard")
	}
}

func TestGuardLeavesARunAlone(t *testing.T) {
	n := testLocks(t)
	lock, _, err := n.claim()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := n.cleanAfter(os.Getpid()+1, func() error { return errors.New("cleaned") }); err != nil {
		t.Errorf("a guard of a dead run, beside a live one: %v", err)
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
	cleaned := errors.New("cleaned")
	if err := n.cleanAfter(os.Getpid(), func() error { return cleaned }); !errors.Is(err, cleaned) {
		t.Errorf("got %v: the guard did not clean", err)
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
