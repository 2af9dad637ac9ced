package control

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	c := &Connections{Total: 5, List: []Connection{
		{Client: netip.MustParseAddrPort("10.1.0.2:43210"), Server: netip.MustParseAddrPort("10.2.0.2:80"), Target: netip.MustParseAddrPort("10.2.0.2:80"),
			Rule: "late goodbye", Age: 3.21, ToServer: 78, ToClient: 1234567, ClientLeg: Leg{State: "FIN-WAIT-1"}, ServerLeg: Leg{State: "CLOSE-WAIT"}},
		{Client: netip.MustParseAddrPort("[fd01::2]:1"), Server: netip.MustParseAddrPort("[fd02::2]:80"), Target: netip.MustParseAddrPort("[fd02::3]:8080"),
			Age: 3723, ClientLeg: Leg{State: "ESTAB"}, ServerLeg: Leg{State: "ESTAB"}},
	}}
	var out strings.Builder
	if err := c.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	want := `CLIENT LEG  SERVER LEG  CLIENT          SERVER                       TO SERVER  TO CLIENT  AGE     RULE
FIN-WAIT-1  CLOSE-WAIT  10.1.0.2:43210  10.2.0.2:80                  78 B       1.2 MB     3.2s    late goodbye
ESTAB       ESTAB       [fd01::2]:1     [fd02::2]:80=[fd02::3]:8080  0 B        0 B        1h2m3s  -
and 3 more: ask for them with --limit
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestOctets(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_960: "1.0 MB", 1 << 30: "1.1 GB", 1<<64 - 1: "18.4 EB"} {
		if got := octets(n); got != want {
			t.Errorf("octets(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for s, want := range map[float64]string{0: "0s", 0.0123: "12ms", 1: "1.0s", 59.94: "59.9s", 61: "1m1s"} {
		if got := age(s); got != want {
			t.Errorf("age(%v) = %q, want %q", s, got, want)
		}
	}
}
