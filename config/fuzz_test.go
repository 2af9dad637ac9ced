package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"tcpmitm/rules"
)

// FuzzParse: whatever the file, Parse either refuses it with messages that
// name places in it, or returns a configuration within its bounds; and it does
// the same twice. What it once fell over is kept in testdata/fuzz.
func FuzzParse(f *testing.F) {
	for _, file := range []string{ownFile, agreedExample} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, v := range append(refused, refusedRules...) {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f", text)
		again, err2 := Parse("f", text)
		if err != nil {
			if c != nil || err2 == nil || err.Error() != err2.Error() {
				t.Fatalf("refused, and then: %v", err2)
			}
			lines := strings.Count(text, "\n") + 1
			var e *Error
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("refused without a problem: %v", err)
			}
			for _, p := range e.Problems {
				// The toml package counts a last line of its own.
				if p.Message == "" || p.Line < 0 || p.Line > lines+1 || p.Column < 0 {
					t.Fatalf("in %d lines: %+v", lines, p)
				}
			}
			return
		}
		if err2 != nil || again.Rules.Len() != c.Rules.Len() {
			t.Fatalf("accepted, and then: %v", err2)
		}
		for _, r := range c.Rules.Rules() {
			bounded(t, r)
		}
	})
}

// bounded wants a rule that was accepted to be one that can be carried out.
func bounded(t *testing.T, r *rules.Rule) {
	t.Helper()
	if r.Name == "" || len(r.Faults) > maxFaults || len(r.Streams) > maxPolicies || len(r.Timeline) > maxSpans {
		t.Fatalf("rule %q has %d faults, %d policies, %d spans", r.Name, len(r.Faults), len(r.Streams), len(r.Timeline))
	}
	for _, f := range r.Faults {
		atMoment := f.Do >= rules.ResetLeg && f.Do != rules.Refuse && f.Do != rules.Ignore
		if f.On.Moment() != (atMoment && !(f.Do == rules.ICMP && f.On == rules.SYN)) || f.By < 0 || f.By > maxDelay || f.Jitter > f.By || f.Probability < 0 || f.Probability > 1 ||
			f.Do == rules.Delay && f.By == 0 || f.Do == rules.Split && f.Size == 0 || f.Copies < 0 || f.N < 0 ||
			f.Bytes.From > f.Bytes.To || f.After < 0 || f.For < 0 {
			t.Fatalf("accepted %+v", f)
		}
	}
	for _, p := range r.Streams {
		if p.By < 0 || p.Jitter > p.By || p.Range.From > p.Range.To || p.Size < 0 || p.Burst < 0 ||
			p.Do == rules.Throttle && (!(p.Rate >= minRate) || p.Burst == 0) || p.Do == rules.Slice && p.Size == 0 ||
			p.Do == rules.Replace && (p.Pattern == nil) == (len(p.Find) == 0) {
			t.Fatalf("accepted %+v", p)
		}
	}
	var last time.Duration
	for _, s := range r.Timeline {
		if s.At < last || s.For < 0 {
			t.Fatalf("accepted %+v", r.Timeline)
		}
		last = s.At + s.For
	}
}
