package config

import (
	"fmt"
	"slices"
	"time"

	"tcpmitm/rules"
)

// Bounds of a rule's faults.
const (
	maxFaults = 64
	minDelay  = time.Nanosecond
	maxDelay  = time.Hour
)

const faultExample = `{ leg = "client", on = "fin", do = "delay", by = "2s" }`

var (
	legs = []choice[rules.Leg]{{"client", rules.Client}, {"server", rules.Server}}
	dirs = []choice[bool]{{"out", false}, {"in", true}}

	segments = []choice[rules.On]{
		{"syn", rules.SYN}, {"syn-ack", rules.SYNACK}, {"handshake-ack", rules.HandshakeACK}, {"ack", rules.ACK},
		{"data", rules.Data}, {"fin", rules.FIN}, {"last-ack", rules.LastACK}, {"rst", rules.RST},
		{"window-update", rules.WindowUpdate}, {"any", rules.Any},
	}
	moments = []choice[rules.On]{
		{"established", rules.Established}, {"first-byte", rules.FirstByte},
		{"closing", rules.Closing}, {"half-closed", rules.HalfClosed},
	}
	ons = slices.Concat(segments, moments)
)

// faultKind is one of the things that a fault can do.
type faultKind struct {
	word string
	do   rules.Do
	keys []string // those of its own, beside leg, dir, on, do and the selectors
	read func(t *table, f *rules.Fault)

	// moment: it is done at moments, not to segments, or to a SYN that calls.
	// implied is the only thing that it is ever on, which need not be said; Any
	// is none.
	moment  bool
	implied rules.On
	calls   bool // a SYN can be answered so, too
}

func kindOfDo(do rules.Do) *faultKind {
	for i := range faultKinds {
		if faultKinds[i].do == do {
			return &faultKinds[i]
		}
	}
	panic(fmt.Sprintf("config: no words for fault %d", do))
}

// faultKeys are the keys that some fault has.
func faultKeys() []string {
	all := append([]string{"leg", "dir", "on", "do"}, selectors...)
	for i := range faultKinds {
		for _, key := range faultKinds[i].keys {
			if !slices.Contains(all, key) {
				all = append(all, key)
			}
		}
	}
	return all
}

// faults reads the faults of a rule. opensBoth is its simultaneous-open, with
// which the segments of a handshake go ways that they otherwise never do.
func (t *table) faults(opensBoth bool) (out []rules.Fault) {
	list := t.list("faults", "["+faultExample+"]")
	if len(list) > maxFaults {
		t.wrong("faults", "has %d elements, of which there may be %d", len(list), maxFaults)
		return nil
	}
	numbers := map[rules.Fault]int{} // delays, without how long: which fault said so first
	for i, v := range list {
		name := fmt.Sprintf("fault %d of %s", i+1, t.name)
		values, ok := v.(map[string]any)
		if !ok {
			t.add(t.element("faults", i), `%s must be a table, for example %s, not %s`, name, faultExample, kind(v))
			continue
		}
		f, ok := t.row("faults", i, name, values).fault(opensBoth)
		if !ok {
			continue
		}
		if what := f; f.Do == rules.Delay {
			what.By, what.Jitter = 0, 0
			if first := numbers[what]; first > 0 {
				t.add(t.element("faults", i), "%s delays what fault %d already delays: keep one of them", name, first)
				continue
			}
			numbers[what] = i + 1
		}
		out = append(out, f)
	}
	return out
}

// fault reads one fault; ok is false if anything was wrong with it.
func (t *table) fault(opensBoth bool) (f rules.Fault, ok bool) {
	before := len(t.found)
	var doWords []choice[rules.Do]
	for i := range faultKinds {
		doWords = append(doWords, choice[rules.Do]{faultKinds[i].word, faultKinds[i].do})
	}
	if !needed(t, "do", &f.Do, doWords) {
		needed(t, "leg", &f.Leg, legs)
		// Which other keys are right depends on what is to be done.
		t.known = faultKeys()
		t.done()
		return f, false
	}
	k := kindOfDo(f.Do)
	legOK := needed(t, "leg", &f.Leg, legs)
	onOK := t.on(k, &f)
	if onOK {
		t.which(&f)
	} else {
		t.known = append(t.known, selectors...)
	}
	if legOK && onOK {
		t.direction(k, &f, opensBoth)
	} else {
		t.get("dir")
	}
	k.read(t, &f)
	t.useless(f.Do)
	t.done(faultKeys()...)
	return f, len(t.found) == before
}

// on reads what a fault is on.
func (t *table) on(k *faultKind, f *rules.Fault) bool {
	if k.implied != rules.Any {
		f.On = k.implied
		if _, there := t.values["on"]; !there {
			t.get("on")
			return true
		}
	}
	fitting := wordsOf(segments)
	if k.moment {
		fitting = wordsOf(moments)
	}
	if k.calls {
		fitting = append(fitting, wordOf(ons, rules.SYN))
	}
	t.must("on", "must be "+oneOfWords(fitting))
	if !oneOf(t, "on", &f.On, ons) {
		return false
	}
	said := wordOf(ons, f.On)
	switch {
	case k.implied != rules.Any && f.On != k.implied:
		t.wrong("on", `do = %q is always on %q: leave on out`, k.word, wordOf(ons, k.implied))
	case k.calls && f.On == rules.SYN:
		return true
	case k.implied == rules.Any && k.moment && !f.On.Moment():
		t.wrong("on", `do = %q happens at a moment, and %q is a kind of segment: must be %s`, k.word, said, oneOfWords(fitting))
	case !k.moment && f.On.Moment():
		t.wrong("on", `do = %q is done to segments, and %q is a moment: must be %s`, k.word, said, oneOfWords(fitting))
	default:
		return true
	}
	return false
}

// ways says of the segments of a handshake which way they go, on each leg.
var ways = map[rules.On]struct {
	name     string
	clientIn bool // a client sends it to us, and we to a server
}{
	rules.SYN:          {"a SYN", true},
	rules.SYNACK:       {"a SYN-ACK", false},
	rules.HandshakeACK: {"the third segment of a handshake", true},
}

// direction reads dir. Where only one direction makes sense it need not be
// said.
func (t *table) direction(k *faultKind, f *rules.Fault, opensBoth bool) {
	_, said := t.values["dir"]
	if k.moment {
		t.get("dir")
		f.In = f.On == rules.SYN
		if said {
			t.wrong("dir", `do = %q is not done to segments of one direction: take dir out`, k.word)
		}
		if (k.implied != rules.Any || f.On == rules.SYN) && f.Leg == rules.Server {
			t.wrong("leg", `do = %q is what becomes of a client that calls: must be "client"%s`, k.word, insteadAtServer[f.Do])
		}
		return
	}
	oneOf(t, "dir", &f.In, dirs)
	w, only := ways[f.On]
	if !only {
		return
	}
	in := w.clientIn == (f.Leg == rules.Client)
	switch {
	case !said:
		f.In = in
	case opensBoth && f.Leg == rules.Server:
		// Both send a SYN, and both a SYN-ACK.
	case in && !f.In && f.Leg == rules.Client:
		t.wrong("dir", `%s never goes out to a client: must be "in", or leave dir out`, w.name)
	case in && !f.In:
		t.wrong("dir", `%s never goes out to a server: must be "in", or leave dir out`, w.name)
	case !in && f.In && f.Leg == rules.Client:
		t.wrong("dir", `%s never comes in from a client: must be "out", or leave dir out`, w.name)
	case !in && f.In:
		t.wrong("dir", `%s never comes in from a server: must be "out", or leave dir out`, w.name)
	}
}

// insteadAtServer says how the same is done to a server.
var insteadAtServer = map[rules.Do]string{
	rules.Refuse:        "",
	rules.ICMP:          `, or be at a moment`,
	rules.Ignore:        `, or lose our SYN to the server with on = "syn", do = "drop"`,
	rules.AcceptThenDie: `, or use on = "established", do = "reset"`,
}

// useless reports keys that other faults have and this one has no use for.
func (t *table) useless(do rules.Do) {
	k := kindOfDo(do)
	for _, key := range faultKeys() {
		if _, there := t.values[key]; !there || slices.Contains(t.known, key) {
			continue
		}
		t.known = append(t.known, key)
		var others []string
		for i := range faultKinds {
			if slices.Contains(faultKinds[i].keys, key) {
				others = append(others, faultKinds[i].word)
			}
		}
		t.wrong(key, `do = %q has no use for it: take it out; it belongs to %s`, k.word, quoted(others))
	}
}
