package trace

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

func TestFilter(t *testing.T) {
	four := subject{
		conn: 17, client: netip.MustParseAddrPort("10.1.0.2:40000"), server: netip.MustParseAddrPort("10.2.0.2:80"),
		rule: "late goodbye", leg: endpoint.Server,
	}
	six := subject{conn: 18, client: netip.MustParseAddrPort("[2001:db8::1]:5000"), server: netip.MustParseAddrPort("[2001:db8:1::2]:443"), fault: true}
	over := subject{conn: 17, client: four.client, server: four.server, bothLegs: true, verdict: true}
	for _, v := range []struct {
		text            string
		four, six, over bool
	}{
		{"", true, true, true},
		{"  \t ", true, true, true},
		{"host 10.1.0.2", true, false, true},
		{"host 10.2.0.0/16", true, false, true},
		{"host ::ffff:10.1.0.2", true, false, true},
		{"host 2001:db8::/32", false, true, false},
		{"client 10.1.0.2", true, false, true},
		{"client 10.2.0.2", false, false, false},
		{"server 10.2.0.2", true, false, true},
		{"server 2001:db8:1::/48", false, true, false},
		{"host 0.0.0.0/0", true, false, true},
		{"port 80", true, false, true},
		{"port 40000", true, false, true},
		{"port 400-500", false, true, false},
		{"client port 80", false, false, false},
		{"client port 40000", true, false, true},
		{"server port 80-90", true, false, true},
		{`rule "late goodbye"`, true, false, false},
		{`rule 'late goodbye'`, true, false, false},
		{`rule late`, false, false, false},
		{"leg server", true, false, true},
		{"leg client", false, true, true},
		{"conn 17", true, false, true},
		{"faults", false, true, false},
		{"not faults", true, false, true},
		{"not not faults", false, true, false},
		{"verdicts", false, false, true},
		{"verdicts or faults", false, true, true},
		{"host 10.1.0.2 and port 80", true, false, true},
		{"host 10.1.0.2 port 81", false, false, false},
		{"port 80 or port 443", true, true, true},
		{"port 80 and leg server or port 443", true, true, true},
		{"port 80 and (leg server or port 443) and rule \"late goodbye\"", true, false, false},
		{"not (port 80 or port 443)", false, false, false},
		{"not port 80 or leg server", true, true, true},
		{"(((conn 17)))", true, false, true},
		{`rule "and"`, false, false, false},
	} {
		f, err := ParseFilter(v.text)
		if err != nil {
			t.Errorf("%q: %v", v.text, err)
			continue
		}
		if a, b, c := f.match(&four), f.match(&six), f.match(&over); a != v.four || b != v.six || c != v.over {
			t.Errorf("%q chooses %v %v %v, want %v %v %v", v.text, a, b, c, v.four, v.six, v.over)
		}
	}
}

// What is wrong is named, and so is what would be right.
func TestFilterErrors(t *testing.T) {
	for text, want := range map[string]string{
		"host":                           "wants something behind it, for example host",
		"host nowhere":                   `host "nowhere" is no address and no prefix: write for example`,
		"client 10.0.0.0/33":             `client "10.0.0.0/33" is no address`,
		"port http":                      `port "http" is no port and no range`,
		"port 65536":                     "is no port",
		"port 90-80":                     "is no port and no range",
		"client port":                    "client port wants something",
		"leg both":                       "there are leg client and leg server",
		"conn one":                       "`tcpmitm ss -i` shows the number",
		"rule":                           "rule wants something",
		`rule "late`:                     "has no second one",
		"late goodbye":                   `"late" is no word of it: there are host`,
		"port 80 and":                    "it ends where a term should be",
		"port 80 or or port 81":          `"or" is no word of it`,
		"(port 80":                       "a parenthesis is not closed",
		"port 80)":                       `")" is not expected here`,
		"not":                            "it ends where a term should be",
		"()":                             `")" is no word`,
		strings.Repeat("(", 100):         "make it simpler",
		strings.Repeat("not ", 100):      "make it simpler",
		strings.Repeat("faults or ", 99): "make it simpler",
		strings.Repeat("x", 5000):        "use several shorter ones",
	} {
		f, err := ParseFilter(text)
		if err == nil || !errors.Is(err, ErrFilter) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, %v; want an error with %q", text, f, err, want)
		}
	}
}

// A filter is asked on the data path.
func TestFilterIsCheap(t *testing.T) {
	f, err := ParseFilter(`host 10.1.0.0/16 and (port 80 or rule "late goodbye") and not faults`)
	if err != nil {
		t.Fatal(err)
	}
	events, _ := sample()
	e := splice.SegmentEvent(events[0])
	if n := testing.AllocsPerRun(100, func() { f.segment(&e) }); n > 1 {
		t.Errorf("a segment that is judged costs %v allocations", n)
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"", "host 10.0.0.1 and port 80", `rule "x" or not (leg client)`, "(((", `"`} {
		f.Add(s)
	}
	events, end := sample()
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseFilter(text)
		if err != nil {
			return
		}
		p.segment(&events[0])
		p.closed(&end)
		if again, err := ParseFilter(p.String()); err != nil || (again == nil) != (p == nil) {
			t.Errorf("%q is read once and not twice: %v", text, err)
		}
	})
}
