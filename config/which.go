package config

import (
	"slices"
	"time"

	"tcpmitm/rules"
)

// Bounds of what a fault chooses by.
const (
	maxCount = 1_000_000_000 // segments of one connection
	maxSince = 24 * time.Hour
)

// selectors are the keys that choose among segments or moments.
var selectors = []string{"nth", "first", "every", "probability", "bytes", "after", "for", "retransmits"}

// which reads the selectors of a fault, whose do and on are known and fit.
func (t *table) which(f *rules.Fault) {
	w := &f.Which
	for _, key := range selectors {
		if _, there := t.values[key]; !there {
			t.get(key)
			continue
		}
		if why := noSelector(key, f); why != "" {
			t.get(key)
			t.wrong(key, "%s", why)
			continue
		}
		switch key {
		case "nth":
			whole(t, key, &w.Nth, 1, maxCount)
		case "first":
			whole(t, key, &w.First, 1, maxCount)
		case "every":
			whole(t, key, &w.Every, 1, maxCount)
		case "probability":
			t.probability(key, &w.Probability)
		case "bytes":
			t.octets(key, &w.Bytes)
		case "after":
			t.duration(key, &w.After, 0, maxSince)
		case "for":
			t.duration(key, &w.For, minDelay, maxSince)
		case "retransmits":
			w.Retransmits.Set = t.boolean(key, &w.Retransmits.Value)
		}
	}
	t.onlyOne("nth", "first", "every")
}

// onlyOne refuses keys that contradict each other.
func (t *table) onlyOne(keys ...string) (said int) {
	first := ""
	for _, key := range keys {
		if _, there := t.values[key]; !there {
			continue
		}
		if said++; said == 1 {
			first = key
		} else {
			t.wrong(key, "%s is there already: say only one of %s", first, quoted(keys))
		}
	}
	return said
}

// noSelector says why a fault cannot choose by a key, or "".
func noSelector(key string, f *rules.Fault) string {
	on := wordOf(ons, f.On)
	if f.On.Moment() {
		switch key {
		case "nth", "first", "every":
			return `"` + on + `" comes once in a connection, so there is nothing to count: take it out`
		case "bytes", "retransmits":
			return `"` + on + `" is a moment and no segment: take it out`
		case "for":
			return `"` + on + `" is a moment and has no duration: take it out; after says how long after it the fault acts`
		}
		return ""
	}
	switch key {
	case "bytes":
		if !slices.Contains([]rules.On{rules.Data, rules.FIN, rules.Any}, f.On) {
			return `"` + on + `" carries no octets of the stream: take it out, or use on = "data"`
		}
	case "after", "for":
		if slices.Contains([]rules.On{rules.SYN, rules.SYNACK, rules.HandshakeACK}, f.On) {
			return `it counts from ESTABLISHED, and "` + on + `" comes before: take it out`
		}
	case "retransmits":
		if slices.Contains([]rules.On{rules.HandshakeACK, rules.ACK, rules.LastACK, rules.RST, rules.WindowUpdate}, f.On) {
			return `"` + on + `" is never retransmitted: take it out`
		}
	}
	return ""
}

// probability reads a share above 0. 0 would be a fault that never acts.
func (t *table) probability(key string, into *float64) {
	const right = "more than 0 and at most 1, for example 0.01"
	v, ok := t.number(key, right)
	switch {
	case !ok:
	case v == 0:
		t.wrong(key, "0 never acts: take the fault out, or say %s", right)
	case !(v > 0 && v <= 1): // NaN is refused too
		t.wrong(key, "%v is out of range: must be %s", v, right)
	default:
		*into = v
	}
}
