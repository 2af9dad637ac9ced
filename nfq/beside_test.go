package nfq

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestFilterOfTheOtherKindIsInUse(t *testing.T) {
	const empty = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	for _, c := range []struct {
		why, rules string
		want       bool
	}{
		{"nothing", "", false},
		{"an empty filter", "*filter\n" + empty + "COMMIT\n", false},
		{"rules of another table", "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n*filter\n" + empty + "COMMIT\n", false},
		{"a policy", "*filter\n" + strings.Replace(empty, "FORWARD ACCEPT", "FORWARD DROP", 1) + "COMMIT\n", true},
		{"a rule", "*filter\n" + empty + "-A FORWARD -p tcp -j DROP\nCOMMIT\n", true},
	} {
		if b := (beside{rules: c.rules}); b.filters() != c.want {
			t.Errorf("%s: in use %v, want %v", c.why, b.filters(), c.want)
		}
	}
}

// What lets our packets through stands in the filter of either kind, if that
// is in use, before the rules that are there; and goes again.
func TestBothKindsLetThroughWhatWeSend(t *testing.T) {
	for _, other := range []string{"legacy", "nft"} {
		t.Run(other, func(t *testing.T) {
			if other == "nft" {
				t.Setenv("PATH", onlyKind(t, t.TempDir(), "legacy")+":"+os.Getenv("PATH"))
			}
			ns := newNamespace(t)
			save := func() string {
				return run(t, ns, "iptables-"+other+"-save 2>/dev/null | grep -e ^- -e '^:.* - ' || true; ip6tables-"+other+"-save 2>/dev/null | grep -e ^- -e '^:.* - ' || true")
			}
			run(t, ns, strings.ReplaceAll(`iptables-KIND -P FORWARD DROP
				iptables-KIND -A FORWARD -m conntrack --ctstate INVALID -j DROP
				iptables-KIND -t nat -A POSTROUTING -j MASQUERADE`, "KIND", other))
			before := save()
			f := newFirewall(t, Intercept{})
			inNamespace(t, ns, func() {
				shown := strings.Join(f.ShowBeside(), "\n")
				for _, want := range []string{"# IPv4, by iptables-" + other + ",", "\n-A FORWARD -j TCPMITM-FWD\n", "\n-A TCPMITM-FWD -i mitm-s -j ACCEPT\n"} {
					if n := strings.Count(shown, want); n != 1 {
						t.Errorf("%d times %q in what would be added by iptables-%s:\n%s", n, want, other, shown)
					}
				}
				for range 2 {
					if warnings, err := f.Install(); err != nil || len(warnings) > 0 {
						t.Errorf("Install: %v, warnings %q", err, warnings)
					}
				}
			})
			during := save()
			for _, want := range []string{":TCPMITM-FWD - ", "-A FORWARD -j TCPMITM-FWD\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n",
				"-A TCPMITM-FWD -i mitm-c -j ACCEPT\n", "-A TCPMITM-FWD -i mitm-s -j ACCEPT\n"} {
				if n := strings.Count(during, want); n != 1 {
					t.Errorf("%d times %q in the rules of iptables-%s:\n%s", n, want, other, during)
				}
			}
			if strings.Contains(during, "NFQUEUE") {
				t.Errorf("packets are queued by both kinds:\n%s", during)
			}
			inNamespace(t, ns, func() {
				if err := f.Remove(); err != nil {
					t.Errorf("Remove: %v", err)
				}
			})
			if after := save(); after != before {
				t.Errorf("after Remove the rules are\n%s\nbefore Install they were\n%s", after, before)
			}
		})
	}
}

// A kind that has no rules gets no tables because somebody looked.
func TestLookingMakesNoTables(t *testing.T) {
	ns := newNamespace(t)
	f := newFirewall(t, Intercept{})
	inNamespace(t, ns, func() {
		if lines := f.ShowBeside(); len(lines) > 0 {
			t.Errorf("the other kind is not in use, and would get %q", lines)
		}
		if _, err := f.Install(); err != nil {
			t.Error(err)
		}
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
		for _, names := range []string{"ip_tables_names", "ip6_tables_names"} {
			if legacyTables(names) {
				t.Errorf("%s: there are tables of the legacy iptables", names)
			}
		}
	})
}

// Tables of the other kind that cannot be read are worth a warning: they may
// hold nothing.
func TestLegacyTablesWithoutTheirProgramAreAWarning(t *testing.T) {
	folder := t.TempDir()
	onlyKind(t, folder, "nft")
	ns := newNamespace(t)
	run(t, ns, "iptables-legacy -P FORWARD DROP")
	t.Setenv("PATH", folder)
	f := newFirewall(t, Intercept{Servers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	inNamespace(t, ns, func() {
		warnings, err := f.Install()
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "iptables-legacy-save") || !strings.Contains(warnings[0], "apt-get install") {
			t.Errorf("warnings %q, error %v; want one warning that names the program", warnings, err)
		}
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	})
}
