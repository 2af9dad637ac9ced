package soak

import (
	"strings"
	"testing"
	"time"

	"tcpmitm/config"
)

// Whatever is drawn is a configuration.
func TestDrawnRulesAreAConfiguration(t *testing.T) {
	words := map[string]bool{}
	for seed := range uint64(300) {
		p := &Plan{Duration: time.Hour, Seed: seed, Load: 1}
		text := drawRules(p, int(seed%7), seed%5 != 0, seed%2 == 0)
		if again := drawRules(p, int(seed%7), seed%5 != 0, seed%2 == 0); again != text {
			t.Fatalf("seed %d draws something else the second time", seed)
		}
		c, err := config.Parse("drawn", "[control]\n"+gatewayText(p)+text)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		for _, r := range c.Rules.Rules() {
			for i := range r.Faults {
				words[kindOf(r.Faults[i].String())] = true
			}
			for i := range r.Streams {
				words[kindOf(r.Streams[i].String())] = true
			}
		}
	}
	for _, w := range kindsOfFault {
		if !words[w] {
			t.Errorf("no rule of 300 draws has %q", w)
		}
	}
}

// Without time for them there are no corpses, and without faults no faults.
func TestWhatIsNotDrawn(t *testing.T) {
	for seed := range uint64(100) {
		p := &Plan{Duration: time.Minute, Seed: seed, Load: 1}
		text := drawRules(p, 1, true, false)
		for _, corpse := range []string{`do = "vanish"`, `then = "vanish"`, `then = "fin"`, `do = "fin"`, `to = "client" } ]`} {
			if strings.Contains(text, corpse) {
				t.Errorf("seed %d draws %s", seed, corpse)
			}
		}
		if text := drawRules(p, 1, false, true); strings.Contains(text, "faults") || strings.Contains(text, "stream") || strings.Contains(text, "action = \"reset\"") {
			t.Errorf("seed %d draws faults:\n%s", seed, text)
		}
	}
}
