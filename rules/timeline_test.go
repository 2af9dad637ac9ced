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
