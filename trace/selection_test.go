package trace

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

func TestSelection(t *testing.T) {
	old := splice.Candidate{
		Conn: 17, Client: netip.MustParseAddrPort("10.1.0.2:40000"), Server: netip.MustParseAddrPort("10.2.0.2:80"), Rule: "late goodbye",
		States: [2]endpoint.State{endpoint.Established, endpoint.CloseWait}, Age: time.Hour, Idle: 10 * time.Minute,
	}
	young := splice.Candidate{
		Conn: 18, Client: netip.MustParseAddrPort("[2001:db8::1]:5000"), Server: netip.MustParseAddrPort("[2001:db8:1::2]:443"), Fired: true,
		States: [2]endpoint.State{endpoint.Listen, endpoint.SynSent}, Age: time.Second,
	}
	for _, v := range []struct {
		text       string
		old, young bool
	}{
		{"", true, true},
		{"host 10.0.0.0/8", true, false},
		{"not port 80", false, true},
		{"conn 17 or conn 18", true, true},
		{`rule "late goodbye" and not faults`, true, false},
		{"state ESTAB", true, false},
		{"state established", true, false},
		{"state close-wait", true, false},
		{"client state CLOSE-WAIT", false, false},
		{"server state CLOSE-WAIT", true, false},
		{"state SYN-SENT or client state LISTEN", false, true},
		{"idle 10m", true, false},
		{"idle 10m1s", false, false},
		{"not idle 1s", false, true},
		{"age 1s", true, true},
		{"age 1h and idle 5m and server port 80", true, false},
		{"client port 5000", false, true},
		{"client 10.1.0.2", true, false},
	} {
		f, err := ParseSelection(v.text)
		if err != nil {
			t.Errorf("%q: %v", v.text, err)
			continue
		}
		if a, b := f.Chooses(&old), f.Chooses(&young); a != v.old || b != v.young {
			t.Errorf("%q chooses %v %v, want %v %v", v.text, a, b, v.old, v.young)
		}
	}
}

// Words of one kind of filter are not understood as anything else in the other.
func TestSelectionAndFilterAreTwoThings(t *testing.T) {
	for text, want := range map[string]string{
		"leg client":         "leg is about segments",
		"port 80 verdicts":   "verdicts is about segments",
		"state OPEN":         "there are ESTAB",
		"state":              "for example state ESTAB",
		"client state x":     `client state "x"`,
		"idle":               "for example idle 10m",
		"idle ten":           "is no duration: write for example 30s",
		"age -1s":            "is no duration",
		"late":               "conn, faults, state, idle, age, and",
		"client nowhere":     "is no address",
		"not (idle 1m or 17": `"17" is no word of it`,
	} {
		if f, err := ParseSelection(text); err == nil || !errors.Is(err, ErrFilter) || !strings.Contains(err.Error(), want) {
			t.Errorf("selection %q: %v, %v; want an error with %q", text, f, err, want)
		}
	}
	for _, text := range []string{"state ESTAB", "idle 1m", "age 1m"} {
		if _, err := ParseFilter(text); err == nil || !strings.Contains(err.Error(), "`tcpmitm kill` have it") {
			t.Errorf("filter %q: %v, want to be told who has it", text, err)
		}
	}
}

func FuzzSelection(f *testing.F) {
	for _, s := range []string{"", "state ESTAB and idle 10m", "client state LISTEN", "age 1h or (not host ::1)", "idle"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseSelection(text)
		if err != nil {
			return
		}
		p.Chooses(&splice.Candidate{})
		if again, err := ParseSelection(p.String()); err != nil || (again == nil) != (p == nil) {
			t.Errorf("%q is read once and not twice: %v", text, err)
		}
	})
}
