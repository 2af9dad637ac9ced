package rules

import (
	"testing"
	"time"
)

func TestFaultsInWords(t *testing.T) {
	for want, f := range map[string]Fault{
		"client fin delay by 2s":                  {On: FIN, By: 2 * time.Second},
		"server in data drop probability 0.01":    {Leg: Server, In: true, On: Data, Do: Lose, Which: Which{Probability: 0.01}},
		"server data drop every 100":              {Leg: Server, On: Data, Do: Lose, Which: Which{Every: 100, Probability: 1}},
		"server established reset the client":     {Leg: Server, On: Established, Do: ResetLeg, Legs: [2]bool{true, false}},
		"client data hold until half-closed":      {On: Data, Do: Hold, Until: HalfClosed},
		"client any rewrite window 0 flags 0x29":  {Do: Rewrite, Header: Header{Window: Some(uint16(0)), Flags: Some(uint8(0x29))}},
		"client data drop bytes 0-9 for 1s":       {On: Data, Do: Lose, Which: Which{Bytes: Octets{0, 9}, For: time.Second}},
		"client data drop nth 3 retransmits true": {On: Data, Do: Lose, Which: Which{Nth: 3, Retransmits: Some(true)}},
		"client established icmp code 0 after 1s": {On: Established, Do: ICMP, Which: Which{After: time.Second}},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := (On(200)).String() + " " + Do(200).String(); got != "unknown unknown" {
		t.Errorf("got %q for words that do not exist", got)
	}
	for o := Any; o <= HalfClosed; o++ {
		if o.String() == "" {
			t.Errorf("moment or kind %d has no name", o)
		}
	}
	for d := Delay; d <= AcceptThenDie; d++ {
		if d.String() == "" {
			t.Errorf("action %d has no name", d)
		}
	}
}
