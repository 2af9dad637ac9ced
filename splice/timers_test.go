package splice

import (
	"math/rand/v2"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// TestWheelFiresInTime compares the wheel with a plain list of deadlines.
func TestWheelFiresInTime(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := &wheel{}
	now := endpoint.Time(5 * time.Second)
	w.advance(now, nil)
	flows := make([]*flow, 300)
	due := map[*flow]endpoint.Time{}
	for i := range flows {
		flows[i] = &flow{}
		flows[i].timer.owner = flows[i]
	}
	spans := []time.Duration{time.Microsecond, time.Millisecond, 70 * time.Millisecond, 5 * time.Second, 10 * time.Minute, 48 * time.Hour}
	for range 3000 {
		f := flows[r.IntN(len(flows))]
		if r.IntN(4) == 0 {
			w.stop(&f.timer)
			delete(due, f)
		} else {
			at := now.Add(time.Duration(r.Int64N(int64(spans[r.IntN(len(spans))]))))
			if old, ok := due[f]; !ok || at < old {
				due[f] = at // a later deadline does not move the timer
			}
			w.set(&f.timer, at)
		}
		// Whoever waits for next is never late by more than a tick.
		for f, at := range due {
			if !f.timer.set {
				t.Fatalf("the timer for %v is not in the wheel at %v", at, now)
			}
			if n := w.next(); n > at+tickLen && n > now+2*tickLen {
				t.Fatalf("next is %v but a timer is due at %v, now %v", n, at, now)
			}
		}
		if w.count != len(due) {
			t.Fatalf("the wheel holds %d timers, want %d", w.count, len(due))
		}
		now = now.Add(time.Duration(r.Int64N(int64(spans[r.IntN(len(spans))]))))
		w.advance(now, func(o sleeper) {
			f := o.(*flow)
			at, ok := due[f]
			if !ok {
				t.Fatal("a stopped timer fired")
			}
			if at > now {
				t.Fatalf("a timer for %v fired at %v", at, now)
			}
			delete(due, f)
		})
		for _, at := range due {
			if at+2*tickLen < now {
				t.Fatalf("the timer for %v has not fired at %v", at, now)
			}
		}
	}
}

func TestWheelWalksToADistantTimer(t *testing.T) {
	w := &wheel{}
	f := &flow{}
	f.timer.owner = f
	at := endpoint.Time(0).Add(77*time.Hour + 12345678)
	w.set(&f.timer, at)
	fired := endpoint.Time(0)
	for i := 0; fired == 0; i++ {
		if i > wheelLevels {
			t.Fatal("more wake-ups than levels for one timer")
		}
		now := w.next()
		w.advance(now, func(sleeper) { fired = now })
	}
	if fired < at || fired > at+tickLen {
		t.Errorf("fired at %v, want %v", fired, at)
	}
	if w.next() != endpoint.Never {
		t.Error("an empty wheel has a next time")
	}
}

func TestTimerMovesEarlierAtOnceAndLaterForNothing(t *testing.T) {
	w := &wheel{}
	f := &flow{}
	f.timer.owner = f
	w.set(&f.timer, endpoint.Time(time.Second))
	tick := f.timer.tick
	w.set(&f.timer, endpoint.Time(2*time.Second))
	if f.timer.tick != tick {
		t.Error("a later deadline moved the timer")
	}
	w.set(&f.timer, endpoint.Time(time.Millisecond))
	if f.timer.tick >= tick {
		t.Error("an earlier deadline did not move the timer")
	}
	w.set(&f.timer, endpoint.Never)
	if f.timer.set || w.count != 0 || w.used != [wheelLevels]uint64{} {
		t.Error("Never left something in the wheel")
	}
}
