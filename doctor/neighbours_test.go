package doctor

import (
	"strings"
	"testing"
)

func TestNeighboursSaysWhatBreaksConnections(t *testing.T) {
	f := healthy()
	if found := Neighbours(f.host(), needed()); len(found) > 0 {
		t.Errorf("all is well, and it finds %+v", found)
	}
	f.output["ip6tables-save"] = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j ACCEPT\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n"
	f.output["nft list ruleset"] = "table inet fast {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tip protocol tcp flow add @f\n\t}\n}\n" +
		"table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tct state established,related accept\n\t}\n}\n"
	found := Neighbours(f.host(), needed())
	var all strings.Builder
	for _, d := range found {
		all.WriteString(d.Check + ": " + d.Remedy + "\n")
	}
	for _, want := range []string{
		"offload: take that rule out",
		"other-chains: nft insert rule inet filter forward iifname",
		// Before the rule that drops, and behind our own.
		"source-check: ip6tables -t raw -I PREROUTING 2 -i mitm-c -j RETURN && ip6tables -t raw -I PREROUTING 2 -i mitm-s -j RETURN",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q in what it finds:\n%s", want, all.String())
		}
	}
	if len(found) != 3 {
		t.Errorf("%d findings, want 3:\n%s", len(found), all.String())
	}
}

// Where our own rules end the way of our packets through a table, what others
// have there does not matter.
func TestSourceCheckBehindOurAccept(t *testing.T) {
	f, need := healthy(), needed()
	f.output["iptables-save"] = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n"
	if found := Neighbours(f.host(), need); len(found) != 1 {
		t.Errorf("%d findings, want the check of sources: %+v", len(found), found)
	}
	need.Rules[0] = "*raw\n:TCPMITM-PRE - [0:0]\n-A PREROUTING -j TCPMITM-PRE\n-A TCPMITM-PRE -i mitm-c -j ACCEPT\n-A TCPMITM-PRE -i mitm-s -j ACCEPT\nCOMMIT\n"
	if found := Neighbours(f.host(), need); len(found) != 0 {
		t.Errorf("our packets do not get there, and it finds %+v", found)
	}
}
