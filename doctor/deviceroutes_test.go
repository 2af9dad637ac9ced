package doctor

import (
	"strings"
	"testing"
)

func TestRoutesByDeviceNeedATwin(t *testing.T) {
	const rule = "-A PREROUTING -i lan0 -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x1/0xff"
	look := func(f *fake) (found []Finding) {
		for _, d := range Examine(f.host(), needed()) {
			if d.Check == "routes-by-device" && d.Level != OK {
				found = append(found, d)
			}
		}
		return found
	}
	for _, c := range []struct {
		why, mangle, rules string
		want               string // in the remedy; "" if all is well
	}{
		{"nothing", "", "", ""},
		{"a mark by device", "-A PREROUTING -j ACCEPT\n" + rule, "", "iptables -t mangle -I PREROUTING 3 -i mitm-s -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x1/0xff; "},
		{"its twin is there", rule + "\n" + strings.Replace(rule, "lan0", "mitm-s", 1), "", ""},
		{"all but one device", strings.Replace(rule, "-i lan0", "! -i lan0", 1), "", ""},
		{"no mark", strings.Replace(rule, "-j MARK --set-xmark 0x1/0xff", "-j ACCEPT", 1), "", ""},
		{"a routing rule", "", "0:	from all lookup local\n32765:	from all iif lan0 lookup 100\n", "ip -4 rule add from all iif mitm-s lookup 100; "},
		{"its twin is there, too", "", "32764:	from all iif mitm-s lookup 100\n32765:	from all iif lan0 lookup 100\n", ""},
	} {
		f := healthy()
		f.output["iptables-save"] = "*mangle\n:PREROUTING ACCEPT [0:0]\n" + c.mangle + "\nCOMMIT\n"
		f.output["ip -4 rule"], f.output["ip -6 rule"] = c.rules, ""
		found := look(f)
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: finds %+v", c.why, found)
		case c.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Remedy, c.want)):
			t.Errorf("%s: finds %+v, want the remedy %q", c.why, found, c.want)
		}
	}
}
