package sim

import (
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// TestSeedsReachEverything: what the simulator is there for happens in some
// hundreds of seeds, or else their silence would say nothing.
func TestSeedsReachEverything(t *testing.T) {
	seen := map[string]int{}
	for seed := uint64(1); seed <= 300; seed++ {
		s := newScenario(newWorld(seed))
		s.play()
		for _, l := range s.links {
			seen["packets lost"] += l.lost
			seen["packets corrupted"] += l.corrupted
			seen["packets too big for a path"] += l.tooBig
		}
		seen["wrong checksums at the gateway"] += s.gw.badSums
		seen["wrong checksums at a host"] += s.client.badSums + s.server.badSums
		for do, n := range s.gw.fired {
			seen[doNames[rules.Do(do)]] += n
		}
		for _, e := range s.gw.engines {
			c := e.shard.Counters()
			for why, n := range map[string]uint64{
				"connections refused": c.Refused, "SYNs passed": c.Passed, "SYNs reset": c.Reset, "SYNs dropped": c.Dropped,
				"cookies accepted": c.CookiesAccepted, "packets of another shard": c.ForeignIn,
				"challenges": c.Reasons[endpoint.ReasonOutOfWindow], "segments past PAWS": c.Reasons[endpoint.ReasonPAWS],
				"segments for lack of memory": c.Reasons[endpoint.ReasonNoMemory], "SYNs over the limit": c.Reasons[endpoint.ReasonOverLimit],
			} {
				seen[why] += int(n)
			}
		}
		for _, r := range s.gw.closed {
			seen["closed "+howNames[int(r.How)%len(howNames)]]++
		}
	}
	for what, n := range seen {
		if n == 0 && what != "" {
			t.Errorf("no %s in 300 seeds", what)
		}
	}
	t.Log(seen)
}

var howNames = [...]string{"by FIN", "by reset", "by timeout", "by rule", "by refusal", "as unreachable", "by shutdown"}

// doNames are the faults that are drawn.
var doNames = map[rules.Do]string{
	rules.Delay: "delays", rules.Lose: "losses by rule", rules.Duplicate: "duplicates", rules.Reorder: "reorderings",
	rules.Corrupt: "corruptions by rule", rules.Split: "splits",
	rules.ResetLeg: "resets", rules.SendFIN: "early FINs", rules.Vanish: "vanishings", rules.Stall: "stalls", rules.Dribble: "dribbles",
	rules.WithholdACKs: "withheld ACKs", rules.StretchACKs: "stretched ACKs", rules.DuplicateACKs: "duplicate ACKs",
}
