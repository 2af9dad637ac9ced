package control

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tcpmitm/rules"
)

// Rules answers GET /v1/rules.
type Rules struct {
	List []Rule `json:"rules"` // in their order: the first that matches decides
}

// Rule is one rule and what it has done.
type Rule struct {
	Name    string `json:"name"`
	Action  string `json:"action"`
	Enabled bool   `json:"enabled"`
	InForce bool   `json:"in_force"` // enabled, and its timeline says so
	// Changes is in how many seconds its timeline takes it in or out of force;
	// 0 is never.
	Changes float64 `json:"changes_in_seconds"`
	// Stopped: its faults and policies no longer act on live connections.
	Stopped bool   `json:"stopped"`
	Faults  int    `json:"faults"`
	Streams int    `json:"stream"`
	Reached uint64 `json:"reached"` // connections whose addresses and ports matched
	Taken   uint64 `json:"taken"`   // of these, decided by the rule
	Fired   uint64 `json:"fired"`   // how often its faults and policies acted
	// Each tells the same of each fault, and then of each policy.
	Each []FaultCount `json:"each"`
}

// FaultCount is how often a fault, or a stream policy, of a rule has acted,
// since there is one that says the same.
type FaultCount struct {
	Index  int    `json:"index"`  // among the rule's faults, or its policies, from 0
	Stream bool   `json:"stream"` // it is a policy
	Text   string `json:"text"`
	Count  uint64 `json:"count"`
}

func ruleOf(r *rules.Rule, at time.Duration) Rule {
	return Rule{
		Name: r.Name, Action: r.Action.String(), Enabled: r.Enabled(), InForce: r.InForce(at),
		Changes: r.NextChange(at).Seconds(), Stopped: r.Stopped(), Faults: len(r.Faults), Streams: len(r.Streams),
		Reached: r.Reached(), Taken: r.Taken(), Fired: r.Fired(),
		Each: eachOf(r),
	}
}

// eachOf tells how often each fault and each policy of a rule has acted.
func eachOf(r *rules.Rule) []FaultCount {
	out := make([]FaultCount, 0, len(r.Faults)+len(r.Streams))
	for i := range r.Faults {
		out = append(out, FaultCount{Index: i, Text: r.Faults[i].String(), Count: r.FaultFired(i)})
	}
	for i := range r.Streams {
		out = append(out, FaultCount{Index: i, Stream: true, Text: r.Streams[i].String(), Count: r.StreamFired(i)})
	}
	return out
}

// state says for people whether a rule acts.
func (r *Rule) state() string {
	s := "on"
	switch left := age(r.Changes); {
	case !r.Enabled:
		s = "off"
	case r.InForce && r.Changes > 0:
		s = "on for " + left
	case !r.InForce && r.Changes > 0:
		s = "on in " + left
	case !r.InForce:
		s = "over"
	}
	if r.Stopped {
		s += ", stopped"
	}
	return s
}

// WriteTable prints rules for people, in aligned columns.
func (l *Rules) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tACTION\tSTATE\tREACHED\tTAKEN\tFAULTS\tSTREAM\tFIRED")
	for i := range l.List {
		r := &l.List[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", r.Name, r.Action, r.state(), r.Reached, r.Taken, r.Faults, r.Streams, r.Fired)
	}
	return w.Flush()
}

// Reloaded answers POST /v1/rules/reload.
type Reloaded struct {
	Rules   int      `json:"rules"`
	Restart []string `json:"restart"` // keys that have changed, and need a restart
	Undone  []string `json:"undone"`  // rules that were changed while running, and are as in the file again
}

// Warnings says what a reload could not do, and what it undid.
func (r *Reloaded) Warnings() (out []string) {
	if len(r.Restart) > 0 {
		out = append(out, "changed in the file, but only a restart brings it into force: "+strings.Join(r.Restart, ", "))
	}
	for _, name := range r.Undone {
		out = append(out, fmt.Sprintf("rule %q was changed while tcpmitm ran, and is as in the file again", name))
	}
	return out
}
