package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tcpmitm/rules"
)

// Bounds of stream policies.
const (
	maxPolicies      = 16
	minRate, maxRate = 1, 100e9 // octets a second
	maxBurst         = 1 << 30  // octets
	minBurst         = 1500     // of what is chosen where burst is not said: one packet
	burstTime        = 0.1      // seconds at the rate, likewise
	maxSlice         = 1 << 20  // octets
	maxPattern       = 1024     // octets of its text
	maxText          = 64 << 10 // octets that are looked for or put in
	maxPosition      = 1 << 60  // octets
)

const streamExample = `{ to = "client", do = "throttle", rate = "1MB/s" }`

// policyKind is one of the things that a policy can do.
type policyKind struct {
	word string
	do   rules.Stream
	keys []string // those of its own, beside to and do
	read func(t *table, p *rules.Policy)
}

var policyKinds = []policyKind{
	{"latency", rules.Latency, []string{"by", "jitter"}, func(t *table, p *rules.Policy) {
		t.byJitter(&p.By, &p.Jitter, "say how much later the octets are handed on")
	}},
	{"throttle", rules.Throttle, []string{"rate", "burst"}, (*table).throttle},
	{"slice", rules.Slice, []string{"size", "gap"}, func(t *table, p *rules.Policy) {
		t.must("size", `say how many octets a piece has, for example size = 100`)
		t.sizeInt("size", &p.Size, 1, maxSlice)
		t.duration("gap", &p.Gap, 0, maxDelay)
	}},
	{"limit", rules.Limit, []string{"bytes", "then"}, func(t *table, p *rules.Policy) {
		t.must("bytes", `say how many octets pass, for example bytes = "64KiB"`)
		t.sizeCount("bytes", &p.Bytes, 0)
		oneOf(t, "then", &p.Then, endings)
	}},
	{"replace", rules.Replace, []string{"find", "pattern", "with", "first"}, (*table).replace},
	{"insert", rules.Insert, []string{"with", "at"}, func(t *table, p *rules.Policy) {
		t.must("with", `say what is inserted, for example with = "hello"`)
		t.text("with", &p.With, 1)
		t.sizeCount("at", &p.At, 0)
	}},
	{"discard", rules.Discard, []string{"bytes"}, func(t *table, p *rules.Policy) {
		t.must("bytes", `say which octets are left out, for example bytes = "64KiB-128KiB"`)
		t.octets("bytes", &p.Range)
	}},
	{"corrupt", rules.CorruptData, []string{"every", "bytes"}, func(t *table, p *rules.Policy) {
		p.Every = 1
		whole(t, "every", &p.Every, 1, maxCount)
		t.octets("bytes", &p.Range)
		t.mustOneOf("every", "bytes")
	}},
	{"hold-until", rules.HoldUntil, []string{"until", "by", "bytes"}, func(t *table, p *rules.Policy) {
		oneOfOptional(t, "until", &p.Until, moments)
		t.duration("by", &p.By, minDelay, maxDelay)
		t.sizeCount("bytes", &p.Bytes, 1)
		t.mustOneOf("until", "by", "bytes")
		t.onlyOne("until", "by", "bytes")
	}},
}

var endings = []choice[rules.Ending]{{"fin", rules.EndFIN}, {"reset", rules.EndReset}, {"vanish", rules.EndVanish}}

func policyKeys() []string {
	all := []string{"to", "do"}
	for _, k := range policyKinds {
		for _, key := range k.keys {
			if !slices.Contains(all, key) {
				all = append(all, key)
			}
		}
	}
	return all
}

// streams reads the stream policies of a rule.
func (t *table) streams() (out []rules.Policy) {
	list := t.list("stream", "["+streamExample+"]")
	if len(list) > maxPolicies {
		t.wrong("stream", "has %d elements, of which there may be %d", len(list), maxPolicies)
		return nil
	}
	for i, v := range list {
		name := fmt.Sprintf("stream policy %d of %s", i+1, t.name)
		values, ok := v.(map[string]any)
		if !ok {
			t.add(t.element("stream", i), `%s must be a table, for example %s, not %s`, name, streamExample, kind(v))
			continue
		}
		if p, ok := t.row("stream", i, name, values).policy(); ok {
			out = append(out, p)
		}
	}
	return out
}

func (t *table) policy() (p rules.Policy, ok bool) {
	before := len(t.found)
	var doWords []choice[rules.Stream]
	for _, k := range policyKinds {
		doWords = append(doWords, choice[rules.Stream]{k.word, k.do})
	}
	needed(t, "to", &p.To, legs)
	if !needed(t, "do", &p.Do, doWords) {
		t.known = policyKeys()
		t.done()
		return p, false
	}
	k := policyKinds[slices.IndexFunc(policyKinds, func(k policyKind) bool { return k.do == p.Do })]
	k.read(t, &p)
	for _, key := range policyKeys() {
		if _, there := t.values[key]; there && !slices.Contains(t.known, key) {
			t.known = append(t.known, key)
			var others []string
			for _, o := range policyKinds {
				if slices.Contains(o.keys, key) {
					others = append(others, o.word)
				}
			}
			t.wrong(key, `do = %q has no use for it: take it out; it belongs to %s`, k.word, quoted(others))
		}
	}
	t.done(policyKeys()...)
	return p, len(t.found) == before
}

// throttle reads a rate and how much of it may come at once.
func (t *table) throttle(p *rules.Policy) {
	t.must("rate", `say how fast, for example rate = "1MB/s"`)
	t.rate("rate", &p.Rate)
	p.Burst = int(min(maxBurst, max(minBurst, p.Rate*burstTime)))
	t.sizeInt("burst", &p.Burst, 1, maxBurst)
}

// replace reads what is looked for, and what is put in its place.
func (t *table) replace(p *rules.Policy) {
	t.mustOneOf("find", "pattern")
	t.onlyOne("find", "pattern")
	t.text("find", &p.Find, 1)
	t.pattern(&p.Pattern)
	t.must("with", `say what is put in its place, for example with = "hello", or with = "" to remove it`)
	t.text("with", &p.With, 0)
	whole(t, "first", &p.First, 1, maxCount)
	if p.Pattern != nil {
		t.groups(p.Pattern, string(p.With))
	}
}

func (t *table) pattern(into **regexp.Regexp) {
	text, ok := typed[string](t, "pattern", `a regular expression in quotes, for example 'colou?r'`)
	if !ok {
		return
	}
	if len(text) > maxPattern {
		t.wrong("pattern", "is %d octets long, of which there may be %d", len(text), maxPattern)
		return
	}
	re, err := regexp.Compile(text)
	if err != nil {
		t.wrong("pattern", "%q is no regular expression: %s; see https://golang.org/s/re2syntax",
			text, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return
	}
	if re.MatchString("") {
		t.wrong("pattern", "%q matches where there is nothing: must match at least one octet", text)
		return
	}
	*into = re
}

// reference is how a replacement names a group of a pattern: $1, $name or
// ${name}; $$ is a dollar.
var reference = regexp.MustCompile(`\$(?:\$|\{(\w+)\}|(\w+))`)

// groups refuses references to groups that the pattern does not have, which
// would be replaced with nothing.
func (t *table) groups(re *regexp.Regexp, with string) {
	for _, m := range reference.FindAllStringSubmatch(with, -1) {
		name := m[1] + m[2]
		if name == "" || slices.Contains(re.SubexpNames()[1:], name) {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(name, "%d", &n); err == nil && fmt.Sprint(n) == name && n <= re.NumSubexp() {
			continue
		}
		t.wrong("with", `refers to a group %q that pattern does not have: write ${1} for the first group, or $$ for a dollar`, name)
		return
	}
}
