package control

import (
	"net/netip"
	"strings"
	"testing"

	"tcpmitm/trace"
)

func TestTable(t *testing.T) {
	c := &Connections{Total: 5, List: []Connection{
		{Client: netip.MustParseAddrPort("10.1.0.2:43210"), Server: netip.MustParseAddrPort("10.2.0.2:80"), Target: netip.MustParseAddrPort("10.2.0.2:80"),
			Rule: "late goodbye", Age: 3.21, ToServer: 78, ToClient: 1234567, ClientLeg: Leg{State: "FIN-WAIT-1"}, ServerLeg: Leg{State: "CLOSE-WAIT"}},
		{Client: netip.MustParseAddrPort("[fd01::2]:1"), Server: netip.MustParseAddrPort("[fd02::2]:80"), Target: netip.MustParseAddrPort("[fd02::3]:8080"),
			Age: 3723, ClientLeg: Leg{State: "ESTAB"}, ServerLeg: Leg{State: "ESTAB"}},
	}}
	var out strings.Builder
	if err := c.WriteTable(&out, false); err != nil {
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

// With -i two lines about the legs follow each connection, and the columns stay
// in line.
func TestTableWithInfo(t *testing.T) {
	rtt, dev, low, rto := 0.3, 0.1, 0.25, 200.0
	leg := Leg{State: "ESTAB", Info: Info{SendWindow: 64256, ReceiveWindow: 65535, SendShift: 7, ReceiveShift: 9}}
	leg.Info.LegVerdict = trace.LegVerdict{RTT: &rtt, RTTVar: &dev, MinRTT: &low, RTO: &rto, MSS: 1448, Cwnd: 14480, Retransmits: 2, SACK: true,
		PeerWindow: &trace.Span{Min: 1, Max: 64256}, SegmentsOut: 5, SegmentsIn: 6}
	one := Connection{Conn: 17, Client: netip.MustParseAddrPort("10.1.0.2:43210"), Server: netip.MustParseAddrPort("10.2.0.2:80"), ClientLeg: leg, ServerLeg: Leg{State: "SYN-SENT"}}
	c := &Connections{Total: 3, List: []Connection{one, one}}
	var out strings.Builder
	if err := c.WriteTable(&out, true); err != nil {
		t.Fatal(err)
	}
	const each = `ESTAB       SYN-SENT    10.1.0.2:43210  10.2.0.2:80  0 B        0 B        0s   -
  conn 17
  client leg  rtt:0.300/0.100 minrtt:0.250 rto:200 mss:1448 cwnd:14480 wscale:7,9 snd_wnd:64256 rcv_wnd:65535 peer_wnd:1-64256 segs_out:5 segs_in:6 retrans:2 timeouts:0 peer_retrans:0 sack
  server leg  mss:0 cwnd:0 wscale:0,0 snd_wnd:0 rcv_wnd:0 segs_out:0 segs_in:0 retrans:0 timeouts:0 peer_retrans:0
`
	want := "CLIENT LEG  SERVER LEG  CLIENT          SERVER       TO SERVER  TO CLIENT  AGE  RULE\n" + each + each + "and 1 more: ask for them with --limit\n"
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
