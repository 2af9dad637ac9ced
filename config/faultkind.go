package config

import (
	"fmt"
	"math"
	"slices"

	"tcpmitm/rules"
)

// Bounds of what faults say.
const (
	maxCopies   = 16
	maxBehind   = 64
	maxSegment  = math.MaxUint16 // octets
	maxICMPCode = 15
	minStretch  = 2
	maxStretch  = 1000
	maxDupACKs  = 100
)

// faultKinds are all the things that a fault can do: first to segments, then
// at moments.
var faultKinds = []faultKind{
	{word: "delay", do: rules.Delay, keys: []string{"by", "jitter"}, read: func(t *table, f *rules.Fault) {
		t.byJitter(&f.By, &f.Jitter, "say how long to delay")
	}},
	{word: "drop", do: rules.Lose, read: nothing},
	{word: "duplicate", do: rules.Duplicate, keys: []string{"copies"}, read: func(t *table, f *rules.Fault) {
		f.Copies = 1
		whole(t, "copies", &f.Copies, 1, maxCopies)
	}},
	{word: "reorder", do: rules.Reorder, keys: []string{"behind"}, read: func(t *table, f *rules.Fault) {
		f.Behind = 1
		whole(t, "behind", &f.Behind, 1, maxBehind)
	}},
	{word: "corrupt", do: rules.Corrupt, read: nothing},
	{word: "hold", do: rules.Hold, keys: []string{"until"}, read: (*table).hold},
	{word: "split", do: rules.Split, keys: []string{"size"}, read: func(t *table, f *rules.Fault) {
		if !slices.Contains([]rules.On{rules.Data, rules.FIN, rules.Any}, f.On) {
			t.wrong("on", `%q carries no octets that could be split: must be "data"`, wordOf(ons, f.On))
		}
		t.must("size", `say into how many octets, for example size = 100`)
		t.sizeInt("size", &f.Size, 1, maxSegment)
	}},
	{word: "rewrite", do: rules.Rewrite, keys: rewriteKeys, read: (*table).rewrite},

	{word: "reset", do: rules.ResetLeg, moment: true, keys: []string{"to"}, read: func(t *table, f *rules.Fault) {
		f.Legs = [2]bool{true, true}
		oneOf(t, "to", &f.Legs, []choice[[2]bool]{{"client", [2]bool{true, false}}, {"server", [2]bool{false, true}}, {"both", [2]bool{true, true}}})
	}},
	{word: "fin", do: rules.SendFIN, moment: true, read: nothing},
	{word: "vanish", do: rules.Vanish, moment: true, read: nothing},
	{word: "stall", do: rules.Stall, moment: true, keys: []string{"by"}, read: func(t *table, f *rules.Fault) {
		t.must("by", `say how long the window stays closed, for example by = "10s"`)
		t.duration("by", &f.By, minDelay, maxDelay)
	}},
	{word: "dribble", do: rules.Dribble, moment: true, keys: []string{"size"}, read: func(t *table, f *rules.Fault) {
		t.must("size", `say how large the window is at most, for example size = 100`)
		t.sizeInt("size", &f.Size, 1, maxSegment)
	}},
	{word: "icmp", do: rules.ICMP, moment: true, calls: true, keys: []string{"code"}, read: (*table).icmpCode},
	{word: "withhold-acks", do: rules.WithholdACKs, moment: true, keys: []string{"by"}, read: func(t *table, f *rules.Fault) {
		t.duration("by", &f.By, minDelay, maxDelay) // without it: for ever
	}},
	{word: "stretch-acks", do: rules.StretchACKs, moment: true, keys: []string{"n"}, read: func(t *table, f *rules.Fault) {
		t.must("n", `say for how many segments one acknowledgement is sent, for example n = 8`)
		whole(t, "n", &f.N, minStretch, maxStretch)
	}},
	{word: "duplicate-acks", do: rules.DuplicateACKs, moment: true, keys: []string{"n"}, read: func(t *table, f *rules.Fault) {
		t.must("n", `say how many, for example n = 3`)
		whole(t, "n", &f.N, 1, maxDupACKs)
	}},
	{word: "refuse", do: rules.Refuse, moment: true, implied: rules.SYN, read: nothing},
	{word: "ignore", do: rules.Ignore, moment: true, implied: rules.SYN, read: nothing},
	{word: "accept-then-die", do: rules.AcceptThenDie, moment: true, implied: rules.Established, read: nothing},
}

func nothing(*table, *rules.Fault) {}

// hold reads until which moment a segment is kept.
func (t *table) hold(f *rules.Fault) {
	if !needed(t, "until", &f.Until, moments) {
		return
	}
	// The leg's own handshake cannot end, and nothing that follows it begin,
	// without these; our own ACK to a server is not needed for that.
	ours := f.On == rules.HandshakeACK && f.Leg == rules.Server
	if slices.Contains([]rules.On{rules.Any, rules.SYN, rules.SYNACK, rules.HandshakeACK}, f.On) && !ours {
		t.wrong("until", `%q never comes while %q is held: use do = "delay", or do = "drop"`, wordOf(ons, f.Until), wordOf(ons, f.On))
	}
}

// unreachable names the codes of ICMP destination unreachable (RFC 792; RFC
// 1812, 5.2.7.1). That of fragmentation needed is no fault but path MTU
// discovery.
var unreachable = []choice[uint8]{{"network", 0}, {"host", 1}, {"protocol", 2}, {"port", 3}, {"prohibited", 13}}

const fragmentationNeeded = 4

func (t *table) icmpCode(f *rules.Fault) {
	t.must("code", `say what is unreachable, for example code = "host"`)
	if n, ok := t.values["code"].(int64); ok {
		whole(t, "code", &f.Code, 0, maxICMPCode)
		if n == fragmentationNeeded {
			t.wrong("code", `4 is "fragmentation needed" and belongs to path MTU discovery: must be another one, for example "host"`)
		}
		return
	}
	oneOf(t, "code", &f.Code, unreachable)
}

var rewriteKeys = []string{"window", "urgent", "flags", "ttl", "dscp"}

// rewrite reads the fields of the header that are written anew.
func (t *table) rewrite(f *rules.Fault) {
	h := &f.Header
	optional(t, "window", &h.Window, 0, math.MaxUint16)
	optional(t, "urgent", &h.Urgent, 0, math.MaxUint16)
	t.flags(&h.Flags)
	optional(t, "ttl", &h.TTL, 1, math.MaxUint8)
	optional(t, "dscp", &h.DSCP, 0, maxDSCP)
	said := 0
	for _, key := range rewriteKeys {
		if _, there := t.values[key]; there {
			said++
		}
	}
	if said == 0 {
		t.add(t.places[t.path], "%s rewrites nothing: say one of %s", t.name, quoted(rewriteKeys))
	}
	if f.In {
		for _, key := range []string{"ttl", "dscp"} {
			if _, there := t.values[key]; there {
				t.wrong(key, `nobody reads it of what has arrived: take %s out, or take dir = "in" out`, key)
			}
		}
	}
}

var flagBits = []choice[uint8]{
	{"fin", 1}, {"syn", 2}, {"rst", 4}, {"psh", 8}, {"ack", 16}, {"urg", 32}, {"ece", 64}, {"cwr", 128},
}

// flags reads a list of flags, or their octet as a number.
func (t *table) flags(into *rules.Optional[uint8]) {
	v, there := t.values["flags"]
	if _, number := v.(int64); number || !there {
		optional(t, "flags", into, 0, math.MaxUint8)
		return
	}
	var bits []uint8
	before := len(t.found)
	elements(t, "flags", `["syn", "fin"]`, &bits, len(flagBits), func(v any) (uint8, string) {
		word, _ := v.(string)
		for _, c := range flagBits {
			if c.word == word {
				return c.value, ""
			}
		}
		if word == "" {
			return 0, fmt.Sprintf("must be flags in quotes, not %s", kind(v))
		}
		return 0, fmt.Sprintf("unknown flag %q: must be %s", word, oneOfWords(wordsOf(flagBits)))
	})
	for _, b := range bits {
		into.Value |= b
	}
	into.Set = len(t.found) == before
}
