package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tcpmitm/config"
	"tcpmitm/expect"
)

// understand judges the flags together and makes conditions of them.
func (f *expectFlags) understand(given func(string) bool, args []string) (*expectation, error) {
	filter, err := filterOf(args, 0)
	if err != nil {
		return nil, err
	}
	x := &expectation{filter: filter, simple: filter == ""}
	if f.rule != "" {
		if strings.ContainsRune(f.rule, '"') {
			x.filter = "rule '" + f.rule + "'"
		} else {
			x.filter = `rule "` + f.rule + `"`
		}
		if filter != "" {
			x.filter += " and (" + filter + ")"
		}
	}
	if x.wanted.Conditions, err = f.conditions(given); err != nil {
		return nil, err
	}
	if f.within < 0 {
		return nil, errors.New("--within must not be negative")
	}
	if given("fired") {
		n, err := expect.ParseCount(f.fired)
		if err != nil {
			return nil, fmt.Errorf("--fired: %w", err)
		}
		x.wanted.Fired, x.wanted.FiredBy = &n, f.firedBy(filter)
	}
	x.wanted.All = f.all
	ofConnections := len(x.wanted.Conditions) > 0 || given("connections") || f.all
	switch {
	case ofConnections || x.wanted.Fired == nil && (filter != "" || f.rule != ""):
		if f.connections == 0 {
			return nil, errors.New("--connections must be at least 1")
		}
		x.wanted.Connections = f.connections
	case x.wanted.Fired == nil:
		return nil, errors.New("nothing is expected: name at least one condition, for example --closed-by server or --rule NAME --fired 1")
	}
	return x, nil
}

func (f *expectFlags) firedBy(filter string) string {
	by := "faults of all rules"
	if f.rule != "" {
		by = "rule " + f.rule
	}
	if filter != "" {
		by += " (" + filter + ")"
	}
	return by
}

// The words that conditions take.
var (
	closers = []string{"client", "server", "tcpmitm"}
	peers   = []string{"client", "server"}
	hows    = []string{"FIN", "RST", "timeout", "rule", "refused", "unreachable", "shutdown", "operator"}
	codes   = regexp.MustCompile(`^[-CScsURKOI?][-NCHEDF?] [-CScsURKOI?][-NCHEDF?]$`)
)

// conditions are those on a connection.
func (f *expectFlags) conditions(given func(string) bool) (list []expect.Condition, err error) {
	var errs []error
	word := func(flag, text string, words []string, make func(string) expect.Condition) {
		if !given(flag) {
			return
		}
		i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, text) })
		if i < 0 {
			errs = append(errs, fmt.Errorf("--%s %q must be one of %s", flag, text, strings.Join(words, ", ")))
			return
		}
		list = append(list, make(words[i]))
	}
	span := func(flag string, d time.Duration, make func(time.Duration) expect.Condition) {
		if !given(flag) {
			return
		}
		if d < 0 {
			errs = append(errs, fmt.Errorf("--%s must not be negative", flag))
			return
		}
		list = append(list, make(d))
	}
	number := func(flag string, n uint64, make func(uint64) expect.Condition) {
		if given(flag) {
			list = append(list, make(n))
		}
	}
	size := func(flag, text string, make func(uint64) expect.Condition) {
		if !given(flag) {
			return
		}
		n, ok := octetsOf(text)
		if !ok {
			errs = append(errs, fmt.Errorf("--%s %q is no size: write for example 5000 or 64KiB", flag, text))
			return
		}
		list = append(list, make(n))
	}
	word("closed-by", f.closedBy, closers, expect.ClosedBy)
	word("how", f.how, hows, expect.How)
	word("peer-reset", f.reset, peers, expect.PeerReset)
	if given("codes") {
		if codes.MatchString(f.codes) {
			list = append(list, expect.Codes(f.codes))
		} else {
			errs = append(errs, fmt.Errorf("--codes %q: write two letters for each leg, for example \"-- sF\" (docs/termination-codes.md), ? for any", f.codes))
		}
	}
	if f.noDataAfterFIN {
		list = append(list, expect.NoDataAfterFIN())
	}
	span("handshake-within", f.handshake, expect.HandshakeWithin)
	span("first-byte-within", f.firstByte, expect.FirstByteWithin)
	span("lasts-at-least", f.atLeast, expect.LastsAtLeast)
	span("lasts-at-most", f.atMost, expect.LastsAtMost)
	number("retransmissions-at-least", f.resentAtLeast, expect.RetransmissionsAtLeast)
	number("retransmissions-at-most", f.resentAtMost, expect.RetransmissionsAtMost)
	size("bytes-to-client", f.toClient, expect.BytesToClient)
	size("bytes-to-server", f.toServer, expect.BytesToServer)
	return list, errors.Join(errs...)
}

// octetsOf reads a number of octets, with or without a unit.
func octetsOf(text string) (uint64, bool) {
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		return n, true
	}
	n, ok := config.ParseSize(text)
	return uint64(n), ok
}
