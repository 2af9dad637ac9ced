package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tcpmitm/rules"
)

// Bounds of a rule's faults.
const (
	maxFaults = 64
	minDelay  = time.Nanosecond
	maxDelay  = time.Hour
)

var (
	legs = []choice[rules.Leg]{{"client", rules.Client}, {"server", rules.Server}}
	dirs = []choice[bool]{{"out", false}, {"in", true}}
	dos  = []choice[bool]{{"delay", true}}
	ons  = []choice[rules.On]{{"syn-ack", rules.SYNACK}, {"ack", rules.ACK}, {"fin", rules.FIN}}
)

// faults reads the faults of a rule; n is how many the file has.
func (t *table) faults() (out []rules.Fault, n int) {
	list := t.list("faults", `[{ leg = "client", on = "fin", do = "delay", by = "2s" }]`)
	if len(list) > maxFaults {
		t.wrong("faults", "has %d elements, of which there may be %d", len(list), maxFaults)
		return nil, len(list)
	}
	numbers := map[rules.Fault]int{} // without By: which fault said so first
	for i, v := range list {
		name := fmt.Sprintf("fault %d of %s", i+1, t.name)
		values, ok := v.(map[string]any)
		if !ok {
			t.add(t.element("faults", i), `%s must be a table, for example { leg = "client", on = "fin", do = "delay", by = "2s" }, not %s`, name, kind(v))
			continue
		}
		f, ok := t.row("faults", i, name, values).fault()
		if !ok {
			continue
		}
		what := f
		what.By = 0
		if first := numbers[what]; first > 0 {
			t.add(t.element("faults", i), "%s delays what fault %d already delays: keep one of them", name, first)
			continue
		}
		numbers[what] = i + 1
		out = append(out, f)
	}
	return out, len(list)
}

// fault reads one fault; ok is false if anything was wrong with it. What only
// a later version can do is refused in one message for the whole fault.
func (t *table) fault() (f rules.Fault, ok bool) {
	before := len(t.found)
	var delay bool
	later := word(t, "do", &delay, dos, laterDo)
	later = append(later, word(t, "on", &f.On, ons, laterOn)...)
	for _, key := range laterFaultKeys {
		if _, there := t.values[key]; there {
			later = append(later, key)
			delete(t.values, key) // reported below, once
		}
	}
	word(t, "leg", &f.Leg, legs, nil)
	word(t, "dir", &f.In, dirs, nil)
	if len(later) > 0 {
		t.add(t.places[t.path], "%s uses %s: known, but not supported by this version, which has do = \"delay\" on \"syn-ack\", \"ack\" and \"fin\"",
			t.name, strings.Join(later, ", "))
		// What else the fault needs is for that later version to say.
		t.get("by")
		t.done(laterFaultKeys)
		return f, false
	}
	if _, there := t.values["by"]; delay && !there {
		t.add(t.places[t.path], `by is missing in %s: say how long to delay, for example by = "300ms"`, t.name)
	}
	t.duration("by", &f.By, minDelay, maxDelay)
	t.done(laterFaultKeys)
	if len(t.found) == before {
		t.whereSYNACK(&f)
	}
	return f, len(t.found) == before
}

// whereSYNACK checks the direction of a SYN-ACK, which only ever goes from
// the server to us and from us to the client.
func (t *table) whereSYNACK(f *rules.Fault) {
	if f.On != rules.SYNACK {
		return
	}
	_, said := t.values["dir"]
	switch {
	case f.Leg == rules.Client && f.In:
		t.wrong("dir", `a SYN-ACK never comes in from a client: must be "out", or leave dir out`)
	case f.Leg == rules.Server && said && !f.In:
		t.wrong("dir", `a SYN-ACK never goes out to a server: must be "in", or leave dir out`)
	case f.Leg == rules.Server:
		f.In = true
	}
}

// word reads a key that takes one of a few words and, but for dir, must be
// there. A word of a later version is returned as key = "word".
func word[T any](t *table, key string, into *T, choices []choice[T], later []string) []string {
	var words []string
	for _, c := range choices {
		words = append(words, c.word)
	}
	if _, there := t.values[key]; !there {
		t.known = append(t.known, key)
		if key != "dir" {
			t.add(t.places[t.path], "%s is missing in %s: must be %s", key, t.name, oneOfWords(words))
		}
		return nil
	}
	said, ok := typed[string](t, key, oneOfWords(words))
	if !ok {
		return nil
	}
	for _, c := range choices {
		if c.word == said {
			*into = c.value
			return nil
		}
	}
	if slices.Contains(later, said) {
		return []string{fmt.Sprintf("%s = %q", key, said)}
	}
	if best := nearest(said, append(words, later...)); best != "" {
		t.wrong(key, "unknown value %q: did you mean %q?", said, best)
	} else {
		t.wrong(key, "unknown value %q: must be %s", said, oneOfWords(words))
	}
	return nil
}
