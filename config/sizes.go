package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"tcpmitm/rules"
)

var sizeUnits = []choice[int64]{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// parseSize reads "64KiB"; ok is false if it is no size.
func parseSize(text string) (octets int64, ok bool) {
	for _, u := range sizeUnits {
		number, found := strings.CutSuffix(text, u.word)
		if !found {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		v *= float64(u.value)
		// 2^63 itself does not fit; as a float it is exact.
		if err != nil || math.IsNaN(v) || v < 0 || v >= 1<<63 {
			return 0, false
		}
		return int64(v), true
	}
	return 0, false
}

// formatSize writes a size in the largest unit that needs no fraction.
func formatSize(octets int64) string {
	best := sizeUnits[len(sizeUnits)-1]
	for _, u := range sizeUnits[:4] {
		if octets >= u.value && octets%u.value == 0 {
			best = u
		}
	}
	return fmt.Sprintf("%d%s", octets/best.value, best.word)
}

// size reads octets: a string with a unit or a whole number.
func size(t *table, key string, into *int64, least, most int64) {
	const example = `a size with its unit in quotes, for example "64KiB" or "1GiB"`
	v, there := t.get(key)
	if !there {
		return
	}
	var octets int64
	switch v := v.(type) {
	case int64:
		octets = v
	case string:
		var ok bool
		if octets, ok = parseSize(v); !ok {
			t.wrong(key, "%q is no size: must be %s", v, example)
			return
		}
	default:
		t.wrong(key, "must be %s, not %s", example, kind(v))
		return
	}
	if octets < least || octets > most {
		t.wrong(key, "%v is out of range: must be from %s to %s", v, formatSize(least), formatSize(most))
		return
	}
	*into = octets
}

// sizeInt is size for a number of octets in memory.
func (t *table) sizeInt(key string, into *int, least, most int64) {
	v := int64(*into)
	size(t, key, &v, least, most)
	*into = int(v)
}

// sizeCount is size for a number of octets in a stream.
func (t *table) sizeCount(key string, into *uint64, least int64) {
	v := int64(*into)
	size(t, key, &v, least, maxPosition)
	*into = uint64(v)
}

// octets reads a part of a stream, such as "64KiB-128KiB" or "1MiB-".
func (t *table) octets(key string, into *rules.Octets) {
	const right = `from and to, for example "64KiB-128KiB", or "64KiB-" to the end`
	text, ok := typed[string](t, key, "a part of the stream in quotes, "+right)
	if !ok {
		return
	}
	from, to, found := strings.Cut(text, "-")
	first, ok1 := parseOctets(from)
	last, ok2 := uint64(math.MaxUint64), true
	if strings.TrimSpace(to) != "" {
		last, ok2 = parseOctets(to)
	}
	switch {
	case !found || !ok1 || !ok2:
		t.wrong(key, "%q is no part of a stream: must be %s", text, right)
	case first > last:
		t.wrong(key, "%q runs backwards: did you mean %q?", text, strings.TrimSpace(to)+"-"+strings.TrimSpace(from))
	case first == last:
		t.wrong(key, "%q is empty, for the last position is not included: must be %s", text, right)
	default:
		*into = rules.Octets{From: first, To: last}
	}
}

// parseOctets reads a size, or a plain number of octets.
func parseOctets(text string) (uint64, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		return n, true
	}
	n, ok := parseSize(text)
	return uint64(n), ok
}

// rateUnits are octets a second; networks count in bits, and in thousands.
var rateUnits = []choice[float64]{
	{"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8}, {"bit/s", 1.0 / 8},
	{"KiB/s", 1 << 10}, {"MiB/s", 1 << 20}, {"GiB/s", 1 << 30},
	{"kB/s", 1e3}, {"MB/s", 1e6}, {"GB/s", 1e9}, {"B/s", 1},
}

// rate reads octets a second.
func (t *table) rate(key string, into *float64) {
	const right = `a rate with its unit in quotes, for example "1MB/s", "100KiB/s" or "8Mbit/s"`
	text, ok := typed[string](t, key, right)
	if !ok {
		return
	}
	for _, u := range rateUnits {
		number, found := strings.CutSuffix(text, u.word)
		if !found {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(v) {
			break
		}
		if v *= u.value; v < minRate || v > maxRate {
			t.wrong(key, "%q is out of range: must be from 1B/s to 100GB/s", text)
			return
		}
		*into = v
		return
	}
	t.wrong(key, "%q is no rate: must be %s", text, right)
}

// text reads octets: a string, or, where they are no text, a list of numbers.
func (t *table) text(key string, into *[]byte, least int) {
	v, there := t.get(key)
	if !there {
		return
	}
	var octets []byte
	switch v := v.(type) {
	case string:
		octets = []byte(v)
	case []any:
		before := len(t.found)
		elements(t, key, "", &octets, maxText, parseOctet)
		if len(t.found) > before {
			return
		}
	default:
		t.wrong(key, `must be a string, or a list of octets such as [0x0d, 0x0a], not %s`, kind(v))
		return
	}
	if n := len(octets); n < least || n > maxText {
		t.wrong(key, "has %d octets: must have %d to %d", n, least, maxText)
		return
	}
	*into = octets
}

func parseOctet(v any) (byte, string) {
	n, ok := v.(int64)
	if !ok || n < 0 || n > math.MaxUint8 {
		return 0, fmt.Sprintf("%v is no octet: must be a whole number from 0 to 255", v)
	}
	return byte(n), ""
}

// ParseSize reads a size with its unit, such as "64KiB"; ok is false if it is
// none.
func ParseSize(text string) (octets int64, ok bool) { return parseSize(text) }
