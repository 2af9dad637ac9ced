package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tcpmitm/rules"
)

// maxList bounds the lists of networks and ports in a rule.
const maxList = 4096

// choice is a word and what it stands for.
type choice[T any] struct {
	word  string
	value T
}

func wordsOf[T any](choices []choice[T]) []string {
	words := make([]string, len(choices))
	for i, c := range choices {
		words[i] = c.word
	}
	return words
}

// wordOf is the word for a value.
func wordOf[T comparable](choices []choice[T], value T) string {
	for _, c := range choices {
		if c.value == value {
			return c.word
		}
	}
	return "?"
}

// oneOf reads a key that takes one of a few words; ok tells that it did.
func oneOf[T any](t *table, key string, into *T, choices []choice[T]) (ok bool) {
	words := wordsOf(choices)
	word, ok := typed[string](t, key, oneOfWords(words))
	if !ok {
		return false
	}
	for _, c := range choices {
		if c.word == word {
			*into = c.value
			return true
		}
	}
	best := nearest(word, words)
	switch {
	case best == "":
		t.wrong(key, "unknown value %q: must be %s", word, oneOfWords(words))
	case len(words) > maxListed:
		t.wrong(key, "unknown value %q: did you mean %q?", word, best)
	default:
		t.wrong(key, "unknown value %q: did you mean %q? It must be %s", word, best, oneOfWords(words))
	}
	return false
}

// maxListed is how many words a message lists although it knows better.
const maxListed = 4

// needed is oneOf for a key that must be there.
func needed[T any](t *table, key string, into *T, choices []choice[T]) (ok bool) {
	t.must(key, "must be "+oneOfWords(wordsOf(choices)))
	return oneOf(t, key, into, choices)
}

// oneOfOptional is oneOf for a value that may be left unsaid.
func oneOfOptional[T any](t *table, key string, into *rules.Optional[T], choices []choice[T]) {
	into.Set = oneOf(t, key, &into.Value, choices)
}

// whole reads a whole number from least to most.
func whole[T int | int64 | uint8 | uint16 | uint32 | uint64](t *table, key string, into *T, least, most int64) (ok bool) {
	v, ok := typed[int64](t, key, fmt.Sprintf("a whole number from %d to %d", least, most))
	switch {
	case !ok:
	case v < least || v > most:
		t.wrong(key, "%d is out of range: must be from %d to %d", v, least, most)
		return false
	default:
		*into = T(v)
	}
	return ok
}

// optional reads a whole number that may be left unsaid.
func optional[T int | uint8 | uint16](t *table, key string, into *rules.Optional[T], least, most int64) {
	into.Set = whole(t, key, &into.Value, least, most)
}

// boolean reads true or false.
func (t *table) boolean(key string, into *bool) (ok bool) {
	v, ok := typed[bool](t, key, "true or false, without quotes")
	if ok {
		*into = v
	}
	return ok
}

func (t *table) optionalBoolean(key string, into *rules.Optional[bool]) {
	into.Set = t.boolean(key, &into.Value)
}

// duration reads a time such as "300ms" from least to most.
func (t *table) duration(key string, into *time.Duration, least, most time.Duration) (ok bool) {
	text, ok := typed[string](t, key, `a time with its unit in quotes, for example "300ms" or "2s"`)
	if !ok {
		return false
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		t.wrong(key, `%q is no time: write a number and a unit, for example "300ms", "2s" or "1m30s"`, text)
	case d < least || d > most:
		t.wrong(key, "%q is out of range: must be from %v to %v", text, short(least), short(most))
	default:
		*into = d
		return true
	}
	return false
}

func (t *table) optionalDuration(key string, into *rules.Optional[time.Duration], least, most time.Duration) {
	into.Set = t.duration(key, &into.Value, least, most)
}

// byJitter reads how much later something happens, which must be there, and by
// how much more or less.
func (t *table) byJitter(by, jitter *time.Duration, what string) {
	t.must("by", what+`, for example by = "300ms"`)
	t.duration("by", by, minDelay, maxDelay)
	if t.duration("jitter", jitter, minDelay, maxDelay) && *by > 0 && *jitter > *by {
		t.wrong("jitter", "%s is more than by, which is %s: nothing happens before its time", short(*jitter), short(*by))
	}
}

// short writes a time without the zero units that Duration.String adds.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// number reads a number with or without a fraction; right says which.
func (t *table) number(key, right string) (value float64, ok bool) {
	v, there := t.get(key)
	if !there {
		return 0, false
	}
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	t.wrong(key, "must be a number, %s, not %s", right, kind(v))
	return 0, false
}

// share reads a probability, of which 0 is a legal one.
func (t *table) share(key string, into *float64) {
	const right = "from 0 to 1, for example 0.5"
	v, ok := t.number(key, right)
	switch {
	case !ok:
	case !(v >= 0 && v <= 1): // NaN is refused too
		t.wrong(key, "%v is out of range: must be %s", v, right)
	default:
		*into = v
	}
}

// elements reads a list of at most most elements, of which parse understands each element; parse
// returns what is wrong with one, or "".
func elements[T any](t *table, key, example string, into *[]T, most int, parse func(any) (T, string)) {
	list := t.list(key, example)
	if len(list) > most {
		t.wrong(key, "has %d elements, of which there may be %d", len(list), most)
		return
	}
	for i, v := range list {
		e, wrong := parse(v)
		if wrong != "" {
			t.add(t.element(key, i), "%s in %s: %s", key, t.name, wrong)
			continue
		}
		*into = append(*into, e)
	}
}

// ports reads a list of ports and ranges of them.
func (t *table) ports(key string, into *[]rules.PortRange, most int) {
	elements(t, key, `[80, "8000-8099"]`, into, most, parsePorts)
}

func parsePorts(v any) (rules.PortRange, string) {
	const right = `a port from 1 to 65535, or a range such as "8000-8099"`
	none := rules.PortRange{}
	switch v := v.(type) {
	case int64:
		if v < 1 || v > math.MaxUint16 {
			return none, fmt.Sprintf("%d is no port: must be %s", v, right)
		}
		return rules.PortRange{First: uint16(v), Last: uint16(v)}, ""
	case string:
		from, to, isRange := strings.Cut(v, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
		last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
		switch {
		case err1 != nil || err2 != nil || first == 0 || last == 0:
			return none, fmt.Sprintf("%q is no port: must be %s", v, right)
		case first > last:
			return none, fmt.Sprintf("%q runs backwards: did you mean \"%d-%d\"?", v, last, first)
		}
		return rules.PortRange{First: uint16(first), Last: uint16(last)}, ""
	}
	return none, fmt.Sprintf("must be %s, not %s", right, kind(v))
}

// networks reads a list of networks in CIDR notation.
func (t *table) networks(key string, into *[]netip.Prefix, most int) {
	elements(t, key, `["10.0.0.0/8", "fd00::/8"]`, into, most, parseNetwork)
}

func parseNetwork(v any) (netip.Prefix, string) {
	const right = `a network such as "10.0.0.0/8" or "fd00::/8"`
	text, ok := v.(string)
	if !ok {
		return netip.Prefix{}, fmt.Sprintf("must be %s in quotes, not %s", right, kind(v))
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.Prefix{}, fmt.Sprintf("%q is an address, not a network: did you mean \"%v/%d\"?", text, a, a.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Sprintf("%q is no network: must be %s", text, right)
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Sprintf("%q is IPv4 written as IPv6: write it as \"%v/%d\"",
			text, p.Masked().Addr().Unmap(), max(0, p.Bits()-96))
	case p != p.Masked():
		return netip.Prefix{}, fmt.Sprintf("%q has bits set behind its first %d: did you mean \"%v\"?", text, p.Bits(), p.Masked())
	}
	return p, ""
}
