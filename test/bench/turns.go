package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// turnWindow is how many connections have an exchange under way: as many
	// whatever the number of connections, so that only that differs.
	turnWindow = 10
	// turnDelay is for the last ACKs, which are delayed (40 ms in Linux).
	turnDelay = 100 * time.Millisecond
)

// roleTurn begins the line that asks a holder for exchanges.
const roleTurn = "turn"

// turnResult is what a segment costs while all connections exchange a few octets
// in turn, in seconds of processor time. It counts segments, and not exchanges,
// since there are fewer of these where the next exchange comes soon enough to
// carry the ACK of the last one.
type turnResult struct {
	machine, process float64
	segments         float64 // of an exchange, as the peers count them
}

// runTurns measures it on the connections that are held, by so many exchanges at
// least, and one on each connection.
func runTurns(h *holders, atLeast int) (r turnResult, err error) {
	n := max(atLeast, h.count)
	began, err := h.site.lab.segments()
	if err != nil {
		return r, err
	}
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
	time.Sleep(turnDelay)
	after, err := usageNow(h.site.pid())
	if err != nil {
		return r, err
	}
	ended, err := h.site.lab.segments()
	if err != nil || ended <= began {
		return r, errors.Join(err, errors.New("the peers have counted no segment"))
	}
	used, segments := after.minus(before), float64(ended-began)
	return turnResult{used.machine / segments, used.process / segments, segments / float64(n)}, nil
}

// segments is how many TCP segments both peers' kernels have sent and received.
func (l *lab) segments() (n uint64, err error) {
	for _, peer := range []*namespace{l.client, l.server} {
		var text []byte
		err := peer.in(func() (err error) {
			text, err = os.ReadFile("/proc/thread-self/net/snmp")
			return err
		})
		if err != nil {
			return 0, err
		}
		some, err := parseSegments(string(text))
		if err != nil {
			return 0, err
		}
		n += some
	}
	return n, nil
}

// parseSegments adds up InSegs and OutSegs of /proc/net/snmp, where a line of
// names is followed by one of numbers.
func parseSegments(text string) (n uint64, err error) {
	var names []string
	found := 0
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if (name == "InSegs" || name == "OutSegs") && i < len(fields) {
				v, err := strconv.ParseUint(fields[i], 10, 64)
				if err != nil {
					return 0, err
				}
				n += v
				found++
			}
		}
	}
	if found != 2 {
		return 0, errors.New("/proc/net/snmp does not count TCP's segments")
	}
	return n, nil
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
