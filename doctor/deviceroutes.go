package doctor

import (
	"slices"
	"strconv"
	"strings"
)

// deviceRoutes is about rules that mark packets, or choose routes, by the
// device that they come from. What tcpmitm sends comes by its own devices, so
// it needs the same rule.
func (x *exam) deviceRoutes(r *report) {
	for _, t := range x.tables {
		type hook struct{ table, chain string }
		place := map[hook]int{}
		for i := range t.rules {
			rule := &t.rules[i]
			h := hook{rule.table, rule.chain}
			place[h]++
			at := slices.Index(rule.words, "-i")
			if at < 1 || at+1 >= len(rule.words) || rule.words[at-1] == "!" || strings.HasPrefix(rule.chain, x.need.Chains) ||
				rule.chain != "PREROUTING" || rule.target != "MARK" && rule.target != "CONNMARK" {
				continue
			}
			device := rule.words[at+1]
			if device == "lo" || slices.Contains(x.need.Devices[:], device) || t.twin(rule, at+1, x.need.Devices) {
				continue
			}
			twin := x.need.Devices[1] + strings.TrimPrefix(rule.line[strings.Index(rule.line, "-i "+device):], "-i "+device)
			before, _, _ := strings.Cut(rule.line, "-i "+device)
			r.warn(strings.TrimSuffix(t.program, "-save")+" -t "+rule.table+" -I PREROUTING "+strconv.Itoa(place[h]+1)+
				strings.TrimPrefix(before, "-A PREROUTING")+"-i "+twin+
				"; if servers are behind "+device+" and not clients, "+x.need.Devices[0]+" instead of "+x.need.Devices[1],
				"a rule marks what comes from %s; what tcpmitm sends in its stead comes from its own devices and has no mark: %s", device, rule.line)
		}
	}
	x.deviceRules(r)
	if len(r.findings) == 0 {
		r.ok("no mark and no route depends on the device alone that a packet comes from")
	}
}

// twin tells whether there is the same rule for one of our devices.
func (s *ruleset) twin(rule *tableRule, at int, devices [2]string) bool {
	for _, device := range devices {
		words := slices.Clone(rule.words)
		words[at] = device
		if slices.ContainsFunc(s.rules, func(o tableRule) bool { return o.table == rule.table && slices.Equal(o.words, words) }) {
			return true
		}
	}
	return false
}

// deviceRules looks for the same in the routing rules.
func (x *exam) deviceRules(r *report) {
	for _, family := range []string{"-4", "-6"} {
		text, err := x.Run("", "ip", family, "rule")
		if err != nil {
			continue // that ip does not work is said elsewhere
		}
		all := lines(text)
		for _, l := range all {
			f := strings.Fields(l)
			at := slices.Index(f, "iif")
			if at < 1 || at+1 >= len(f) || f[at+1] == "lo" || slices.Contains(x.need.Devices[:], f[at+1]) {
				continue
			}
			tail := strings.Join(f[at+2:], " ")
			if slices.ContainsFunc(all, func(o string) bool {
				return strings.HasSuffix(o, "iif "+x.need.Devices[0]+" "+tail) || strings.HasSuffix(o, "iif "+x.need.Devices[1]+" "+tail)
			}) {
				continue
			}
			r.warn("ip "+family+" rule add "+strings.Join(f[1:at], " ")+" iif "+x.need.Devices[1]+" "+tail+
				"; if servers are behind "+f[at+1]+" and not clients, "+x.need.Devices[0]+" instead of "+x.need.Devices[1],
				"a routing rule is about what comes from %s; what tcpmitm sends in its stead comes from its own devices: %s", f[at+1], l)
		}
	}
}
