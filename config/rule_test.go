package config

import (
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpmitm/rules"
)

// example is the agreed file, as far as it was agreed for this version.
const example = `
[[rule]]
name   = "never touch backups"
match  = { ports = [873], clients = ["10.9.0.0/16"] }
action = "pass"

[[rule]]
name   = "late goodbye"
match  = { servers = ["10.0.0.0/8"], ports = [80], probability = 0.5 }
seed   = 7
faults = [
  { leg = "client", on = "syn-ack", do = "delay", by = "300ms" },
  { leg = "client", on = "ack", do = "delay", by = "500ms" },
  { leg = "client", on = "fin", do = "delay", by = "2s" },
]
`

func TestRules(t *testing.T) {
	c, err := Parse("rules.toml", example)
	if err != nil {
		t.Fatal(err)
	}
	list := c.Rules.Rules()
	if len(list) != 2 {
		t.Fatalf("%d rules, want 2", len(list))
	}
	if r := list[0]; r.Name != "never touch backups" || r.Action != rules.Pass || r.Match.Probability != 1 ||
		!reflect.DeepEqual(r.Match.ServerPorts, []rules.PortRange{{First: 873, Last: 873}}) ||
		!reflect.DeepEqual(r.Match.Clients, []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}) {
		t.Errorf("first rule: %+v", r.Match)
	}
	r := list[1]
	if r.Name != "late goodbye" || r.Action != rules.Splice || r.Seed != 7 || r.Match.Probability != 0.5 {
		t.Errorf("second rule: %q %v seed %d probability %v", r.Name, r.Action, r.Seed, r.Match.Probability)
	}
	want := []rules.Fault{
		{Leg: rules.Client, On: rules.SYNACK, By: 300 * time.Millisecond},
		{Leg: rules.Client, On: rules.ACK, By: 500 * time.Millisecond},
		{Leg: rules.Client, On: rules.FIN, By: 2 * time.Second},
	}
	if !reflect.DeepEqual(r.Faults, want) {
		t.Errorf("faults %+v, want %+v", r.Faults, want)
	}
	got, _ := c.Rules.First(rules.Conn{Client: netip.MustParseAddrPort("10.9.0.1:1024"), Server: netip.MustParseAddrPort("192.0.2.1:873")})
	if got != list[0] {
		t.Errorf("the set finds %v for a backup", got)
	}
}

func TestMatchKeysOfOurs(t *testing.T) {
	c, err := Parse("rules.toml", `
[[rule]]
name = "x"
match = { client_ports = ["1-1023"], every = 3 }
[[rule]]
name = "spelled out"
[rule.match]
ports = [1]
[[rule.faults]]
leg = "server"
dir = "in"
on = "fin"
do = "delay"
by = "1h"
`)
	if err != nil {
		t.Fatal(err)
	}
	list := c.Rules.Rules()
	if m := list[0].Match; m.Every != 3 || !reflect.DeepEqual(m.ClientPorts, []rules.PortRange{{First: 1, Last: 1023}}) {
		t.Errorf("match %+v", m)
	}
	want := []rules.Fault{{Leg: rules.Server, In: true, On: rules.FIN, By: time.Hour}}
	if !reflect.DeepEqual(list[1].Faults, want) {
		t.Errorf("faults %+v, want %+v", list[1].Faults, want)
	}
}

// A server's SYN-ACK arrives, whether or not the file says so.
func TestServerSYNACKIsIn(t *testing.T) {
	for _, dir := range []string{"", `dir = "in", `} {
		c, err := Parse("rules.toml", `[[rule]]
name = "x"
faults = [{ leg = "server", `+dir+`on = "syn-ack", do = "delay", by = "1s" }]`)
		if err != nil {
			t.Fatal(err)
		}
		if f := c.Rules.Rules()[0].Faults[0]; !f.In {
			t.Errorf("with %q the fault acts on what we send", dir)
		}
	}
}

// agreedExample is the file that all of the project agreed on.
const agreedExample = `testdata/agreed.toml`

func TestAgreedExample(t *testing.T) {
	text, err := os.ReadFile(agreedExample)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("agreed.toml", string(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Rules.Len() != 2 {
		t.Fatalf("%d rules, want 2", c.Rules.Len())
	}
	r := c.Rules.Rules()[1]
	want := []rules.Fault{
		{Leg: rules.Client, On: rules.SYNACK, By: 300 * time.Millisecond},
		{Leg: rules.Client, On: rules.ACK, By: 500 * time.Millisecond},
		{Leg: rules.Client, On: rules.FIN, By: 2 * time.Second},
		{Leg: rules.Server, On: rules.Data, Do: rules.Lose, Which: rules.Which{Every: 100}},
		{Leg: rules.Server, In: true, On: rules.Data, Do: rules.Lose, Which: rules.Which{Probability: 0.01}},
		{Leg: rules.Server, On: rules.Established, Do: rules.ResetLeg, Which: rules.Which{After: 30 * time.Second}, Legs: [2]bool{true, true}},
	}
	if d := cmp.Diff(want, r.Faults); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
	profiles := [2]rules.Profile{
		rules.Client: {MSS: rules.Some(1200), SACK: rules.Some(false), ISN: rules.Some(rules.ISN{Mode: rules.ISNFixed, Fixed: 4294967040})},
		rules.Server: {Window: rules.Some(65535)},
	}
	if d := cmp.Diff(profiles, r.Profiles); d != "" {
		t.Errorf("profiles (-want +got):\n%s", d)
	}
	streams := []rules.Policy{{To: rules.Client, Do: rules.Throttle, Rate: 1e6, Burst: 100_000}}
	if d := cmp.Diff(streams, r.Streams); d != "" {
		t.Errorf("streams (-want +got):\n%s", d)
	}
}
