package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// turnExchanges is how many exchanges are made at least, and one on each
	// connection.
	turnExchanges = 40000
	// turnWindow is how many connections have an exchange under way: as many
	// whatever the number of connections, so that only that differs.
	turnWindow = 10
)

// roleTurn begins the line that asks a holder for exchanges.
const roleTurn = "turn"

// turnResult is what an exchange of a few octets there and back costs while all
// connections have theirs in turn, in seconds of processor time.
type turnResult struct{ machine, process float64 }

// runTurns measures it on the connections that are held.
func runTurns(h *holders) (r turnResult, err error) {
	n := max(turnExchanges, h.count)
	before, err := usageNow(h.site.pid())
	if err != nil {
		return r, err
	}
	for _, one := range h.list {
		share := n * one.count / h.count
		if err := one.turn(share); err != nil {
			return r, fmt.Errorf("exchanges on %d connections in turn: %w", one.count, err)
		}
	}
	after, err := usageNow(h.site.pid())
	used := after.minus(before)
	return turnResult{used.machine / float64(n), used.process / float64(n)}, err
}

// turn has the process make n exchanges.
func (one *holder) turn(n int) error {
	if _, err := fmt.Fprintln(one.in, roleTurn, n); err != nil {
		return err
	}
	line, err := one.out.ReadString('\n')
	if err != nil {
		return err
	}
	if problem := strings.TrimSpace(line); problem != "" {
		return errors.New(problem)
	}
	return nil
}

// asTurn reads the question of turn.
func asTurn(line string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(line, roleTurn+" ")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil
}

// turn makes n exchanges on its connections in turn, a window of them at a time.
func (k *keeper) turn(n int) error {
	window := min(turnWindow, len(k.conns))
	if window == 0 {
		return errors.New("there is no connection")
	}
	hello := make([]byte, idleHello)
	for sent := 0; sent < n; sent += window {
		at := func(i int) raw { return k.conns[(sent+i)%len(k.conns)] }
		for i := range window {
			if err := retry(func() error { _, err := unix.Write(at(i).fd, hello); return err }); err != nil {
				return os.NewSyscallError("write", err)
			}
		}
		for i := range window {
			if err := at(i).receive(hello); err != nil {
				return err
			}
		}
	}
	return nil
}
