package endpoint

import (
	"testing"
	"time"
)

// hystartRounds plays rounds of ACKs, 20 of 1000 octets each, to slow start:
// round i has the round trip rtts[i]. It returns cwnd after each round.
func hystartRounds(c *congestion, rtts ...time.Duration) []int {
	const perRound = 20
	una, nxt := Seq(1), Seq(1).Plus(perRound*1000)
	var cwnd []int
	for _, rtt := range rtts {
		for range perRound {
			una = una.Plus(1000)
			c.onRTT(una, nxt, rtt)
			c.limited = true
			c.onACK(1, 1000, rtt)
		}
		nxt = una.Plus(perRound * 1000)
		cwnd = append(cwnd, c.cwnd)
	}
	return cwnd
}

const ms = time.Millisecond

func TestHyStartLeavesSlowStartWhenRoundTripsGrow(t *testing.T) {
	for _, name := range []string{"cubic", "newreno"} {
		c := newTestCongestion(name)
		got := hystartRounds(c, 100*ms, 100*ms, 120*ms, 125*ms, 125*ms, 125*ms, 125*ms, 125*ms, 125*ms)
		// Two rounds of slow start; in the third, eight samples show the
		// growth and the rest is conservative: a quarter for each octet.
		if got[0] != 30_000 || got[1] != 50_000 {
			t.Errorf("%s: slow start grows to %v", name, got[:2])
		}
		if want := 50_000 + 7*1000 + 13*250; got[2] != want {
			t.Errorf("%s: the round of the growth ends with %d, wanted %d", name, got[2], want)
		}
		if got[3] != got[2]+20*250 {
			t.Errorf("%s: a round of CSS adds %d, wanted 5000", name, got[3]-got[2])
		}
		// CSS_ROUNDS is 5, the partial one counted; its end is the end of slow
		// start.
		if c.ssthresh != got[6] || c.hystart.phase != hystartOver {
			t.Errorf("%s: after five rounds of CSS ssthresh is %d, cwnd was %d", name, c.ssthresh, got[6])
		}
	}
}

func TestHyStartThresholds(t *testing.T) {
	for _, test := range []struct {
		base, grown time.Duration
		css         bool
	}{
		{8 * ms, 11900 * time.Microsecond, false}, // less than 4 ms
		{8 * ms, 12 * ms, true},
		{80 * ms, 89 * ms, false}, // less than an eighth
		{80 * ms, 90 * ms, true},
		{400 * ms, 415 * ms, false}, // less than 16 ms
		{400 * ms, 416 * ms, true},
	} {
		c := newTestCongestion("")
		hystartRounds(c, test.base, test.base, test.grown)
		if css := c.hystart.phase == conservativeSlowStart; css != test.css {
			t.Errorf("from %v to %v: conservative is %v", test.base, test.grown, css)
		}
	}
}

func TestHyStartResumesSlowStart(t *testing.T) {
	c := newTestCongestion("")
	got := hystartRounds(c, 100*ms, 100*ms, 120*ms, 100*ms, 100*ms)
	if c.hystart.phase != slowStart || c.ssthresh != infiniteWindow {
		t.Fatalf("phase %d, ssthresh %d: the growth was a passing one", c.hystart.phase, c.ssthresh)
	}
	if got[4]-got[3] != 20_000 {
		t.Errorf("a round adds %d, wanted all 20000", got[4]-got[3])
	}
}

func TestHyStartNeedsSamples(t *testing.T) {
	c := newTestCongestion("")
	hystartRounds(c, 100*ms, 100*ms)
	// Seven samples are not enough (N_RTT_SAMPLE).
	una := Seq(1).Plus(40_000)
	for range 7 {
		una = una.Plus(1000)
		c.onRTT(una, una.Plus(20_000), 200*ms)
	}
	if c.hystart.phase != slowStart {
		t.Error("seven samples were judged")
	}
	c.onRTT(una.Plus(1000), una.Plus(20_000), 200*ms)
	if c.hystart.phase != conservativeSlowStart {
		t.Error("eight samples were not judged")
	}
}

// HyStart++ is for the first slow start only (RFC 9406, 4.2).
func TestHyStartEndsWithTheFirstLoss(t *testing.T) {
	c := newTestCongestion("")
	hystartRounds(c, 100*ms, 100*ms)
	c.onLoss(1, 50_000)
	before := c.ssthresh
	c.cwnd = 2000
	hystartRounds(c, 100*ms, 300*ms, 300*ms)
	if c.hystart.phase != hystartOver || c.ssthresh != before {
		t.Errorf("phase %d, ssthresh %d: wanted it over and %d", c.hystart.phase, c.ssthresh, before)
	}
}
