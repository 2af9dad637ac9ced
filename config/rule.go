package config

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"tcpmitm/rules"
)

// maxNameLen bounds the name of a rule, which stands in every log line.
const maxNameLen = 64

var actions = []choice[rules.Action]{
	{"splice", rules.Splice}, {"pass", rules.Pass}, {"reset", rules.Reset}, {"drop", rules.Drop},
}

// rules reads the [[rule]] tables and returns them too.
func (t *table) rules() (out []*rules.Rule, source []map[string]any) {
	if single, ok := t.values["rule"].(map[string]any); ok && single != nil {
		t.get("rule")
		t.add(t.at("rule"), "rules are a list of tables: write [[rule]] with two brackets")
		return nil, nil
	}
	list := t.list("rule", "[[rule]]")
	if len(list) > rules.MaxRules {
		t.add(t.element("rule", rules.MaxRules), "there are %d rules, of which there may be %d", len(list), rules.MaxRules)
		return nil, nil
	}
	names := map[string]Position{}
	for i, v := range list {
		values, ok := v.(map[string]any)
		if !ok {
			t.add(t.element("rule", i), "rule %d must be a table, not %s: write [[rule]]", i+1, kind(v))
			continue
		}
		out = append(out, t.row("rule", i, fmt.Sprintf("rule %d", i+1), values).rule(names))
		source = append(source, values)
	}
	return out, source
}

// rule reads one rule; names holds those of the rules before it.
func (t *table) rule(names map[string]Position) *rules.Rule {
	r := &rules.Rule{Match: rules.Match{Probability: 1}}
	t.ruleName(r, names)
	if m := t.sub("match", "match of "+t.name); m != nil {
		m.match(&r.Match)
	}
	whole(t, "seed", &r.Seed, 0, math.MaxInt64)
	enabled := true
	t.boolean("enabled", &enabled)
	r.SetEnabled(enabled)
	r.Timeline = t.timeline()
	oneOf(t, "action", &r.Action, actions)
	t.treatment(r)
	t.done()
	return r
}

// treatment reads what is done to the connections of a rule.
func (t *table) treatment(r *rules.Rule) {
	t.profiles(r)
	t.boolean("simultaneous-close", &r.SimultaneousClose)
	t.boolean("simultaneous-open", &r.SimultaneousOpen)
	r.Faults = t.faults(r.SimultaneousOpen)
	r.Streams = t.streams()
	t.link(r)
	if r.Action == rules.Splice {
		return
	}
	for _, key := range []string{"client", "server", "faults", "stream", "link", "simultaneous-close", "simultaneous-open"} {
		if v, there := t.values[key]; there && !saysNothing(v) {
			t.add(t.at(key), "%s has action = %q, and %s is for spliced connections only: take one of them out", t.name, r.Action.String(), key)
		}
	}
}

// saysNothing tells that a value is an empty one.
func saysNothing(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case bool:
		return !v
	}
	return false
}

func (t *table) ruleName(r *rules.Rule, names map[string]Position) {
	const example = `a name in quotes, for example name = "late goodbye"`
	if _, there := t.values["name"]; !there {
		t.get("name")
		t.add(t.at("name"), "%s has no name: give it %s", t.name, example)
		return
	}
	name, ok := typed[string](t, "name", example)
	if !ok {
		return
	}
	for _, c := range name {
		if !unicode.IsPrint(c) {
			t.wrong("name", "%q has characters that cannot be printed: must be %s", name, example)
			return
		}
	}
	if n := utf8.RuneCountInString(name); n == 0 || n > maxNameLen {
		t.wrong("name", "has %d characters: must have 1 to %d", n, maxNameLen)
		return
	}
	t.name = fmt.Sprintf("rule %q", name)
	if first, met := names[name]; met {
		t.add(t.at("name"), "two rules are called %q, the first one on line %d: give each a name of its own", name, first.Line)
		return
	}
	names[name] = t.at("name")
	r.Name = name
}

func (t *table) match(m *rules.Match) {
	t.networks("clients", &m.Clients, maxList)
	t.networks("servers", &m.Servers, maxList)
	t.ports("ports", &m.ServerPorts, maxList)
	t.ports("client_ports", &m.ClientPorts, maxList)
	t.share("probability", &m.Probability)
	whole(t, "every", &m.Every, 1, math.MaxInt64)
	t.done()
}
