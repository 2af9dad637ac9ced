package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpmitm/profiles"
	"tcpmitm/rules"
)

// The named links are those that the documentation promises, and each has a
// delay and a loss on both ways and a rate in both directions.
func TestLinks(t *testing.T) {
	c, err := Parse(linksFile, profiles.Links)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range c.Rules.Rules() {
		names = append(names, l.Name)
		delays, losses, rates := map[bool]time.Duration{}, map[bool]float64{}, map[rules.Leg]float64{}
		for _, f := range l.Faults {
			if f.Leg != rules.Client || f.On != rules.Any {
				t.Errorf("%s: %+v is not on all segments of the client leg", l.Name, f)
			}
			switch f.Do {
			case rules.Delay:
				delays[f.In] = f.By
			case rules.Lose:
				losses[f.In] = f.Probability
			default:
				t.Errorf("%s: %+v", l.Name, f)
			}
		}
		for _, p := range l.Streams {
			if p.Do == rules.Throttle {
				rates[p.To] = p.Rate
			}
		}
		if len(delays) != 2 || len(losses) != 2 || len(rates) != 2 {
			t.Errorf("%s: delays %v, losses %v, rates %v", l.Name, delays, losses, rates)
		}
		if l.Profiles != [2]rules.Profile{} || !cmp.Equal(l.Match, rules.Match{Probability: 1}) || l.Action != rules.Splice || l.Timeline != nil {
			t.Errorf("%s says more than a link can: only faults and stream are taken of it", l.Name)
		}
	}
	if d := cmp.Diff([]string{"3g", "dsl", "satellite", "lossy-wifi"}, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

// A link comes after what the rule says itself, on the leg that it says.
func TestLinkInARule(t *testing.T) {
	const own = "\nfaults = [{ leg = \"client\", on = \"fin\", do = \"drop\" }]\nstream = [{ to = \"client\", do = \"slice\", size = 5 }]"
	client := parsed(t, rule(`link = "satellite"`+own))
	server := parsed(t, rule(`link = { name = "satellite", leg = "server" }`+own))
	if len(client.Faults) != 5 || client.Faults[0].On != rules.FIN || len(client.Streams) != 3 || client.Streams[0].Do != rules.Slice {
		t.Fatalf("faults %+v, streams %+v", client.Faults, client.Streams)
	}
	for i, f := range client.Faults[1:] {
		g := server.Faults[i+1]
		if f.Leg != rules.Client || g.Leg != rules.Server {
			t.Errorf("fault %d is on the legs %v and %v", i+1, f.Leg, g.Leg)
		}
		if f.Leg = g.Leg; f != g {
			t.Errorf("on the server's leg the link is another: %+v, %+v", f, g)
		}
	}
	if client.Streams[1].To != rules.Client || server.Streams[1].To != rules.Server || client.Streams[1].Rate != server.Streams[1].Rate {
		t.Errorf("streams %+v and %+v", client.Streams, server.Streams)
	}
	// The link is copied, not shared.
	if again := parsed(t, rule(`link = "satellite"`)); again.Faults[0].Leg != rules.Client {
		t.Error("a rule changed the link")
	}
}
