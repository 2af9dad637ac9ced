package config

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tcpmitm/rules"
)

const changeable = `
[[rule]]
name = "other"
match = { ports = [1] }
[[rule]]
name = "late goodbye"
match = { ports = [80], probability = 0.5 }
seed = 7
faults = [
  { leg = "client", on = "fin", do = "delay", by = "2s" },
  { leg = "client", on = "data", do = "drop", nth = 3 },
]
`

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f", text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChange(t *testing.T) {
	for _, v := range []struct {
		set, unset []string
		right      func(r *rules.Rule) bool
	}{
		{[]string{"probability=0.2"}, nil, func(r *rules.Rule) bool { return r.Match.Probability == 0.2 && len(r.Match.ServerPorts) == 1 }},
		{[]string{"match.probability = 0.2", "seed=8"}, nil, func(r *rules.Rule) bool { return r.Match.Probability == 0.2 && r.Seed == 8 }},
		{[]string{"match = { every = 3 }"}, nil, func(r *rules.Rule) bool { return r.Match.Every == 3 && r.Match.Probability == 0.5 }},
		{[]string{"ports=[81, '90-99']"}, nil, func(r *rules.Rule) bool { return len(r.Match.ServerPorts) == 2 && r.Match.ServerPorts[0].First == 81 }},
		{[]string{"faults.1.by = '3s'"}, nil, func(r *rules.Rule) bool { return r.Faults[0].By == 3*time.Second && r.Faults[1].Nth == 3 }},
		{[]string{"faults.1.by=3s", "faults.2.nth=4"}, nil, func(r *rules.Rule) bool { return r.Faults[0].By == 3*time.Second && r.Faults[1].Nth == 4 }},
		{[]string{"faults=[]", "action=pass"}, nil, func(r *rules.Rule) bool { return r.Faults == nil && r.Action == rules.Pass }},
		{[]string{"link=dsl", "client.mss=1200"}, nil, func(r *rules.Rule) bool { return len(r.Faults) == 6 && r.Profiles[0].MSS.Value == 1200 }},
		{[]string{"client = { mss = 900 }\nserver = { mss = 901 }"}, nil, func(r *rules.Rule) bool { return r.Profiles[0].MSS.Value == 900 && r.Profiles[1].MSS.Value == 901 }},
		{[]string{"enabled=false"}, nil, func(r *rules.Rule) bool { return !r.Enabled() }},
		{nil, []string{"probability"}, func(r *rules.Rule) bool { return r.Match.Probability == 1 && len(r.Match.ServerPorts) == 1 }},
		{nil, []string{"match"}, func(r *rules.Rule) bool { return r.Match.ServerPorts == nil }},
		{nil, []string{"faults.1"}, func(r *rules.Rule) bool { return len(r.Faults) == 1 && r.Faults[0].Do == rules.Lose }},
		{[]string{"faults.2.first=5"}, []string{"faults.2.nth"}, func(r *rules.Rule) bool { return r.Faults[1].First == 5 && r.Faults[1].Nth == 0 }},
	} {
		c := parse(t, changeable)
		before := c.Rules.Rules()[1].Copy()
		n, err := c.Change("late goodbye", v.set, v.unset)
		if err != nil {
			t.Errorf("%q %q: %v", v.set, v.unset, err)
			continue
		}
		list := n.Rules.Rules()
		if !v.right(list[1]) {
			t.Errorf("%q %q: %+v", v.set, v.unset, list[1])
		}
		if list[0] != c.Rules.Rules()[0] || list[1] == c.Rules.Rules()[1] || list[1].Name != "late goodbye" {
			t.Errorf("%q: the wrong rule was changed", v.set)
		}
		if old := c.Rules.Rules()[1]; !reflect.DeepEqual(old.Match, before.Match) || !reflect.DeepEqual(old.Faults, before.Faults) ||
			!reflect.DeepEqual(c.Source, parse(t, changeable).Source) {
			t.Errorf("%q: the old configuration has changed", v.set)
		}
	}
}

// A second change keeps the first, the counters and the switch.
func TestChangeAgain(t *testing.T) {
	c := parse(t, changeable)
	conn := rules.Conn{Client: netip.MustParseAddrPort("192.0.2.1:1024"), Server: netip.MustParseAddrPort("192.0.2.2:80")}
	c.Rules.First(conn)
	first, err := c.Change("late goodbye", []string{"probability=1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Rules.Rules()[1].SetEnabled(false)
	second, err := first.Change("late goodbye", []string{"seed=9"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := second.Rules.Rules()[1]
	if r.Match.Probability != 1 || r.Seed != 9 || r.Reached() != 1 || r.Enabled() {
		t.Errorf("probability %v, seed %d, reached %d, enabled %v", r.Match.Probability, r.Seed, r.Reached(), r.Enabled())
	}
}

func TestChangeRefused(t *testing.T) {
	for _, v := range []struct {
		name       string
		set, unset []string
		want       string
	}{
		{"late godbye", []string{"seed=1"}, nil, `no rule is called "late godbye": did you mean "late goodbye"?`},
		{"x", []string{"seed=1"}, nil, `no rule is called "x": there are "other" and "late goodbye"`},
		{"late goodbye", []string{"probability=1.5"}, nil, `rule set: probability in match of rule "late goodbye": 1.5 is out of range: must be from 0 to 1, for example 0.5`},
		{"late goodbye", []string{"sed=1"}, nil, `rule set: unknown key "sed" in rule "late goodbye": did you mean "seed"?`},
		{"late goodbye", []string{"faults.3.by=1s"}, nil, `rule set: faults.3.by=1s in rule "late goodbye": faults has 2 elements, the first of which is 1: there is no "3"`},
		{"late goodbye", []string{"faults.1.do=dely"}, nil, `rule set: do in fault 1 of rule "late goodbye": unknown value "dely": did you mean "delay"?`},
		{"late goodbye", []string{"action=pass"}, nil, `rule set: rule "late goodbye" has action = "pass", and faults is for spliced connections only: take one of them out`},
		{"late goodbye", []string{"name=x"}, nil, `rule set: name in rule "late goodbye": cannot be changed while tcpmitm runs: change it in the file and reload`},
		{"late goodbye", []string{"seed"}, nil, `rule set:1:4: unexpected EOF; expected key separator '='`},
		{"late goodbye", []string{"ports=[80"}, nil, `rule set:1:9: expected a comma (',') or array terminator (']'), but got end of file`},
		{"late goodbye", []string{""}, nil, `rule set: "" changes nothing: write key=value, for example probability=0.2`},
		{"late goodbye", nil, []string{"action"}, `rule set: action in rule "late goodbye": is not there, so it cannot be taken out`},
		{"late goodbye", nil, []string{"faults.7"}, `rule set: faults.7 in rule "late goodbye": faults has 2 elements, the first of which is 1: there is no "7"`},
		{"late goodbye", nil, []string{"name"}, `rule set: rule 2 has no name: give it a name in quotes, for example name = "late goodbye"`},
	} {
		c, err := parse(t, changeable).Change(v.name, v.set, v.unset)
		if c != nil || err == nil || err.Error() != v.want {
			t.Errorf("%q %q:\ngot  %v\nwant %v", v.set, v.unset, err, v.want)
		}
	}
	_, err := parse(t, "").Change("x", nil, nil)
	var none *NoRuleError
	if !errors.As(err, &none) || err.Error() != `no rule is called "x": there are none` {
		t.Errorf("without rules: %v", err)
	}
}

func TestChanged(t *testing.T) {
	a := parse(t, "[intercept]\nports = [80]\nservers = [\"10.0.0.0/8\"]\n[[rule]]\nname = \"x\"")
	b := parse(t, "[intercept]\nports = [81]\nservers = [\"10.0.0.0/8\"]\n[log]\nlevel = \"debug\"")
	if got := Changed(a, b); !reflect.DeepEqual(got, []string{"intercept.ports", "log.level"}) {
		t.Errorf("changed: %q", got)
	}
	if got := Changed(a, a); got != nil {
		t.Errorf("nothing has changed, but %q", got)
	}
}
