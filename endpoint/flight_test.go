package endpoint

import (
	"math/rand/v2"
	"testing"
)

// Whatever is split, marked and acknowledged, the records cover what is
// outstanding without a gap and the sums are right.
func TestFlightKeepsItsBooks(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	e := Endpoint{state: Established}
	una, nxt := Seq(0xffffff00), Seq(0xffffff00)
	e.timer.kind = timerRTO
	for step := range 50000 {
		n := una.To(nxt)
		at := una.Plus(rng.IntN(n + 1))
		f := &e.inflight
		switch i := f.find(at); rng.IntN(6) {
		case 0, 1:
			k := 1 + rng.IntN(2000)
			f.add(nxt, nxt.Plus(k), Time(step))
			nxt = nxt.Plus(k)
		case 2:
			una = at
			f.ackTo(una)
		case 3:
			if i < len(f.live()) {
				f.splitAt(i, at)
			}
		case 4:
			if i < len(f.live()) {
				f.markLost(&f.live()[i])
			}
		case 5:
			if i < len(f.live()) {
				f.markSacked(&f.live()[i])
			}
		}
		e.snd.una, e.snd.nxt = una, nxt
		e.out.init(nxt)
		if err := e.Verify(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
}

func TestFlightIsBounded(t *testing.T) {
	var f flight
	f.add(0, 100_000, 1)
	for i := 1; i < 2*maxTransmissions; i++ {
		f.splitAt(len(f.live())-1, Seq(i*10))
	}
	if n := len(f.live()); n > maxTransmissions {
		t.Errorf("%d records, the bound is %d", n, maxTransmissions)
	}
}
