package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"tcpmitm/control"
	"tcpmitm/expect"
	"tcpmitm/trace"
)

// maxOpenSeen is how many open connections one look takes in.
const maxOpenSeen = 10_000

// witness tells a judge what the gateway has seen.
type witness struct {
	client *control.Client
	judge  *expect.Judge
	x      *expectation
	rule   string
	filter *trace.Filter

	after     uint64            // ends that are told of
	before    uint64            // how often faults had acted before the start
	openFired map[uint64]uint64 // the same, of connections that were open then
	fired     uint64            // by connections that have ended since
}

// begin finds out what was before.
func (w *witness) begin(ctx context.Context, sinceStart bool) (err error) {
	if w.filter, err = trace.ParseFilter(w.x.filter); err != nil {
		return err
	}
	rules, err := w.client.Rules(ctx)
	if err != nil {
		return err
	}
	if err := w.known(rules); err != nil {
		return err
	}
	if sinceStart {
		return nil
	}
	w.before = w.firedBy(rules)
	ends, err := w.client.Ends(ctx, "", math.MaxUint64)
	if err != nil {
		return err
	}
	w.after = ends.Ended
	open, err := w.client.Connections(ctx, "", maxOpenSeen, false)
	if err != nil {
		return err
	}
	w.openFired = map[uint64]uint64{}
	for i := range open.List {
		if c := &open.List[i]; c.Fired > 0 {
			w.openFired[c.Conn] = c.Fired
		}
	}
	return nil
}

// known makes sure that the rule is one of the gateway's: a misspelt name
// would never fire.
func (w *witness) known(rules *control.Rules) error {
	if w.rule == "" {
		return nil
	}
	var names []string
	for i := range rules.List {
		if rules.List[i].Name == w.rule {
			return nil
		}
		names = append(names, fmt.Sprintf("%q", rules.List[i].Name))
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no rule %q: this tcpmitm has no rules", w.rule)
	}
	return fmt.Errorf("there is no rule %q: there are %s", w.rule, strings.Join(names, ", "))
}

// firedBy is how often the faults of the rule, or of all, have acted.
func (w *witness) firedBy(rules *control.Rules) (n uint64) {
	for i := range rules.List {
		if r := &rules.List[i]; w.rule == "" || r.Name == w.rule {
			n += r.Fired
		}
	}
	return n
}

// look tells the judge what is new. First the ends: a connection that ends
// between the two questions is told of the next time, and never twice.
func (w *witness) look(ctx context.Context) error {
	ends, err := w.client.Ends(ctx, w.x.filter, w.after)
	if err != nil {
		return err
	}
	w.after = ends.Ended
	for _, e := range ends.List {
		if e.Verdict == nil {
			continue
		}
		w.judge.Ended(&expect.Facts{Conn: e.Conn, Verdict: *e.Verdict})
		var n uint64
		for _, f := range e.Verdict.Fired {
			n += uint64(f.Count)
		}
		w.fired += n - min(n, w.openFired[e.Conn])
	}
	open, err := w.open(ctx)
	if err != nil || w.x.wanted.Fired == nil {
		return err
	}
	if !w.x.simple {
		w.judge.Fired(w.fired + open)
		return nil
	}
	rules, err := w.client.Rules(ctx)
	if err != nil {
		return err
	}
	n := w.firedBy(rules)
	if n < w.before {
		w.before = 0 // the rules are new ones
	}
	w.judge.Fired(n - w.before)
	return nil
}

// open tells of the connections that are open, and returns how often faults
// have acted on them.
func (w *witness) open(ctx context.Context) (fired uint64, err error) {
	list, err := w.client.Connections(ctx, "", maxOpenSeen, false)
	if err != nil {
		return 0, err
	}
	var facts []expect.Facts
	for i := range list.List {
		c := &list.List[i]
		if !w.filter.MatchConn(c.Conn, c.Client, c.Server, c.Rule, c.Fired > 0) {
			continue
		}
		fired += c.Fired - min(c.Fired, w.openFired[c.Conn])
		facts = append(facts, expect.Facts{Conn: c.Conn, Verdict: trace.Verdict{
			Seconds: c.Age, ToServer: c.ToServer, ToClient: c.ToClient, Client: c.ClientLeg.Info.LegVerdict, Server: c.ServerLeg.Info.LegVerdict,
		}})
	}
	w.judge.Open(facts)
	return fired, nil
}
