package rules

import (
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	timed := always("timed", Match{})
	timed.Timeline = []Span{{At: 10 * time.Second, For: 5 * time.Second}, {At: time.Minute}}
	s := New([]*Rule{timed, always("rest", Match{})})
	taken := uint64(0)
	for _, v := range []struct {
		at   time.Duration
		want bool
	}{
		{0, false}, {10*time.Second - 1, false}, {10 * time.Second, true}, {15*time.Second - 1, true},
		{15 * time.Second, false}, {time.Minute - 1, false}, {time.Minute, true}, {1000 * time.Hour, true},
	} {
		c := conn("1.1.1.1:1", "2.2.2.2:2")
		c.At = v.at
		want := "rest"
		if v.want {
			want = "timed"
			taken++
		}
		wantFirst(t, s, c, want)
		if timed.InForce(v.at) != v.want {
			t.Errorf("InForce(%v) is %v", v.at, !v.want)
		}
	}
	if timed.Reached() != taken {
		t.Errorf("reached %d, want %d: out of its time a rule counts nothing", timed.Reached(), taken)
	}
}

func TestNextChange(t *testing.T) {
	r := &Rule{Timeline: []Span{{At: 10, For: 5}, {At: 15, For: 5}, {At: 30, For: 1}, {At: 40}}}
	for at, want := range map[time.Duration]time.Duration{0: 10, 10: 10, 14: 6, 15: 5, 20: 10, 29: 1, 30: 1, 31: 9, 40: 0, 50: 0} {
		if got := r.NextChange(at); got != want {
			t.Errorf("at %d the next change is %d later, want %d", at, got, want)
		}
	}
	if got := (&Rule{}).NextChange(3); got != 0 {
		t.Errorf("without a timeline: %d", got)
	}
}
