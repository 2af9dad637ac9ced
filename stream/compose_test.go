package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tcpmitm/rules"
)

// apply is what a policy does to a whole stream: the naive model.
func apply(r *rules.Policy, in []byte) []byte {
	switch r.Do {
	case rules.Replace:
		if r.Pattern != nil {
			return []byte(replaceWhole(r.Pattern, string(in), string(r.With)))
		}
		n := -1
		if r.First > 0 {
			n = int(r.First)
		}
		return bytes.Replace(in, r.Find, r.With, n)
	case rules.Insert:
		if r.At > uint64(len(in)) {
			return in
		}
		return append(append(bytes.Clone(in[:r.At]), r.With...), in[r.At:]...)
	case rules.Discard:
		from, to := bounds(r.Range)
		from, to = min(from, uint64(len(in))), min(to, uint64(len(in)))
		if from >= to {
			return in
		}
		return append(bytes.Clone(in[:from]), in[to:]...)
	case rules.Limit:
		return in[:min(r.Bytes, uint64(len(in)))]
	}
	return in // the others change times and borders only
}

// drawPolicies makes a list from octets: replace, insert, discard, limit, and
// between them policies that only change times.
func drawPolicies(spec []byte, word func(n byte) []byte) (list []rules.Policy) {
	for len(spec) >= 3 && len(list) < 8 {
		a, b := spec[1], spec[2]
		r := rules.Policy{}
		switch spec[0] % 9 {
		case 0, 1:
			r = rules.Policy{Do: rules.Replace, Find: word(a), With: word(b), First: uint64(a >> 6)}
		case 2:
			r = rules.Policy{Do: rules.Insert, At: uint64(a), With: word(b)}
		case 3:
			r = rules.Policy{Do: rules.Discard, Range: rules.Octets{From: uint64(a), To: uint64(a) + uint64(b)}}
		case 4:
			r = rules.Policy{Do: rules.Limit, Bytes: uint64(a) * 2}
		case 5:
			r = rules.Policy{Do: rules.Latency, By: time.Duration(a) * ms / 10, Jitter: time.Duration(b) * ms / 10}
		case 6:
			r = rules.Policy{Do: rules.Throttle, Rate: 1000 * (1 + float64(a)), Burst: int(b)}
		case 7:
			r = rules.Policy{Do: rules.Slice, Size: 1 + int(a), Gap: time.Duration(b%4) * ms}
		case 8:
			r = rules.Policy{Do: rules.HoldUntil, Bytes: uint64(a), By: time.Duration(b) * ms}
		}
		spec = spec[3:]
		list = append(list, r)
	}
	return list
}

// checkComposition sends data in pieces through a list of policies, to a
// receiver that takes it as it likes, and compares with the model.
func checkComposition(t *testing.T, list []rules.Policy, data []byte, rnd *rand.Rand) {
	t.Helper()
	if Compile(list, rules.Client, 7) == nil {
		return
	}
	b := newBench(t, list...)
	want := data
	for i := range list {
		// One that could do nothing is left out of the plan.
		if makerOf(&list[i]) != nil {
			want = apply(&list[i], want)
		}
	}
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(40))
		b.room = rnd.IntN(60)
		b.send(string(rest[:n]))
		rest = rest[n:]
		if rnd.IntN(3) == 0 {
			// Far less than replaceSilence.
			b.room = rnd.IntN(60)
			b.advance(time.Duration(rnd.IntN(2000)) * time.Microsecond)
		}
	}
	b.room = -1
	b.turn()
	b.close()
	b.advance(10 * time.Minute)
	if got := b.all(); got != string(want) {
		var words []string
		for i := range list {
			words = append(words, list[i].String())
		}
		t.Fatalf("%q\nin   %q\ngot  %q\nwant %q", words, data, got, want)
	}
	b.wantEnd(fmt.Sprint(list), rules.EndFIN)
}

// word makes short words over two letters, so that they overlap often.
func word(n byte) []byte {
	w := []byte{}
	for k := 0; k < 1+int(n>>3)%5; k++ {
		w = append(w, 'a'+n>>k&1)
	}
	return w
}

func TestPoliciesInARowAreTheModelsInARow(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		spec := make([]byte, 3*(1+rnd.IntN(5)))
		for i := range spec {
			spec[i] = byte(rnd.Uint32())
		}
		data := make([]byte, rnd.IntN(400))
		for i := range data {
			data[i] = 'a' + byte(rnd.IntN(2))
		}
		checkComposition(t, drawPolicies(spec, word), data, rnd)
	}
}

func FuzzPolicies(f *testing.F) {
	f.Add([]byte{0, 9, 9, 2, 5, 40}, []byte("abababab"), uint64(1))
	f.Add([]byte{3, 2, 3, 0, 1, 1, 4, 9, 9}, []byte("aabbaabb"), uint64(2))
	f.Fuzz(func(t *testing.T, spec, data []byte, seed uint64) {
		if len(data) > 2000 {
			return
		}
		checkComposition(t, drawPolicies(spec, word), data, rand.New(rand.NewPCG(seed, 1)))
	})
}
