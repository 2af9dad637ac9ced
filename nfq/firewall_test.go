package nfq

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var intercepts = map[string]Intercept{
	"empty":               {},
	"empty with forwards": {PortForwards: true},
	"hints": {
		Ports:   []PortRange{{80, 80}, {5201, 5201}, {8000, 8099}},
		Servers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Queues:  2, Bypass: true, PortForwards: true,
	},
	"many": {
		Ports: []PortRange{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}, {13, 14}, {15, 16}, {17, 18}},
		Servers: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"),
			netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("2001:db8::1/128"),
		},
		Clients:    []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("fd09::/16")},
		ClientSide: []string{"lan0", "lan1"},
		Queues:     3, PortForwards: true,
	},
	"local":       {Mode: Local, Queues: 4, PortForwards: true},
	"local hints": {Mode: Local, Ports: []PortRange{{80, 80}}, Queues: 1},
	"loopback":    {Mode: Local, Loopback: true, Ports: []PortRange{{80, 80}, {90, 99}}, Queues: 2, PortForwards: true},
}

func newFirewall(t testing.TB, in Intercept) *Firewall {
	t.Helper()
	f, err := NewFirewall(in)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What Show prints is, rule by rule, what iptables-save prints once Install
// has run; and what was there before is there again after Remove.
func TestInstallAddsWhatShowPrintsAndRemoveTakesItAway(t *testing.T) {
	for name, in := range intercepts {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			run(t, ns, `iptables -P FORWARD DROP
				iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
				iptables -t nat -A POSTROUTING -j MASQUERADE
				iptables -t raw -N OTHER; iptables -t raw -A PREROUTING -j OTHER`)
			before := savedRules(t, ns)
			f := newFirewall(t, in)
			inNamespace(t, ns, func() {
				// The second finds what a killed run would have left, the third
				// what one with the same configuration would.
				for _, f := range []*Firewall{newFirewall(t, intercepts["loopback"]), f, f} {
					if warnings, err := f.Install(); err != nil || len(warnings) > 0 {
						t.Errorf("Install: %v, warnings %q", err, warnings)
					}
					if !Installed() {
						t.Error("the rules are not found")
					}
				}
			})
			wantShown(t, f, strings.Split(savedRules(t, ns), "\n"), strings.Split(before, "\n"))
			inNamespace(t, ns, func() {
				for range 2 {
					if err := f.Remove(); err != nil {
						t.Errorf("Remove: %v", err)
					}
				}
			})
			inNamespace(t, ns, func() {
				if Installed() {
					t.Error("rules are found that are not there")
				}
			})
			if after := savedRules(t, ns); after != before {
				t.Errorf("after Remove the rules are\n%s\nbefore Install they were\n%s", after, before)
			}
		})
	}
}

// wantShown compares what the kernel has, beyond what was there before, with
// what Show printed.
func wantShown(t *testing.T, f *Firewall, have, before []string) {
	t.Helper()
	var want []string
	program, table := "", ""
	for _, line := range f.Show() {
		switch {
		case line == "# IPv4":
			program = "iptables-save"
		case line == "# IPv6":
			program = "ip6tables-save"
		case strings.HasPrefix(line, "*"):
			table = line
		case line != "COMMIT":
			want = append(want, program+" "+table+" "+line)
		}
	}
	have = slices.DeleteFunc(have, func(l string) bool { return slices.Contains(before, l) })
	for _, l := range want {
		if !slices.Contains(have, l) {
			t.Errorf("shown, but not installed: %s", l)
		}
	}
	for _, l := range have {
		if !slices.Contains(want, l) {
			t.Errorf("installed, but not shown: %s", l)
		}
	}
}

func TestFailedInstallLeavesNothing(t *testing.T) {
	ns := newNamespace(t)
	before := savedRules(t, ns)
	f := newFirewall(t, Intercept{})
	// A mark option that iptables does not take stands for whatever a
	// kernel or an iptables may lack.
	f.in.ClientSide = []string{"name-that-is-much-too-long"}
	inNamespace(t, ns, func() {
		if _, err := f.Install(); err == nil {
			t.Error("Install succeeded with an interface name that iptables refuses")
		}
	})
	if after := savedRules(t, ns); after != before {
		t.Errorf("a failed Install left\n%s", after)
	}
}

// Who holds connections back goes on to do so when the rules that were to take
// the place of others are refused.
func TestFailedInstallOpensNothing(t *testing.T) {
	ns := newNamespace(t)
	f := newFirewall(t, Intercept{})
	inNamespace(t, ns, func() {
		if _, err := f.Install(); err != nil {
			t.Error(err)
		}
	})
	before := savedRules(t, ns)
	f.in.ClientSide = []string{"name-that-is-much-too-long"}
	inNamespace(t, ns, func() {
		if _, err := f.Install(); err == nil {
			t.Error("Install succeeded with an interface name that iptables refuses")
		}
	})
	if after := savedRules(t, ns); after != before {
		t.Errorf("a failed Install made of\n%s\nthis:\n%s", before, after)
	}
	f.in.Bypass = true
	inNamespace(t, ns, func() {
		if _, err := f.Install(); err == nil || Installed() {
			t.Errorf("with bypass a failed Install (%v) leaves rules", err)
		}
	})
}

func TestMissingIptablesNamesThePackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := newFirewall(t, Intercept{}).Install()
	if !errors.Is(err, ErrNoIptables) || !strings.Contains(err.Error(), "apt-get install iptables") {
		t.Errorf("error is %v, want one that names the package", err)
	}
}

func TestInterceptThatMakesNoRulesIsRefused(t *testing.T) {
	for why, in := range map[string]Intercept{
		"queue numbers beyond the last": {QueueBase: 65530, Queues: 8},
		"too many queues":               {Queues: maxQueues + 1},
		"ports in the wrong order":      {Ports: []PortRange{{9, 8}}},
		"interfaces in local mode":      {Mode: Local, ClientSide: []string{"lan0"}},
		"prefix too long":               {TUNPrefix: "averylongprefix"},
		"prefix with a wildcard":        {TUNPrefix: "mitm+"},
		"no common family":              {Servers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Clients: []netip.Prefix{netip.MustParsePrefix("fd00::/8")}},
		"an interface with a blank":     {ClientSide: []string{"a b"}},
	} {
		if _, err := NewFirewall(in); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
}
