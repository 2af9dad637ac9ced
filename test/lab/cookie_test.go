package lab

import (
	"strings"
	"testing"
)

// TestCookieOnTheWire looks at SYN cookies from both peers' side: the client is
// answered before the server is asked, nothing is kept of it until its ACK
// comes, and what its SYN offered is still known then, if it sends timestamps
// to keep it in.
func TestCookieOnTheWire(t *testing.T) {
	if Plain {
		t.Log("plain forwarding answers no SYN")
		return
	}
	t.Parallel()
	for _, c := range []struct {
		name              string
		sysctls           map[string]string
		scaled, sack, tsv bool // what both legs must have
	}{
		{"all-options", nil, true, true, true},
		{"no-sack", map[string]string{"net.ipv4.tcp_sack": "0"}, true, false, true},
		{"no-scale", map[string]string{"net.ipv4.tcp_window_scaling": "0"}, false, true, true},
		{"no-timestamps", map[string]string{"net.ipv4.tcp_timestamps": "0"}, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(t, Options{Sysctls: c.sysctls})
			p := l.StartProxy(clientSide + "[handshake]\nsyn_cookies = \"always\"\n")
			l.EachFamily(func(t *testing.T, f Family) {
				serve(t, l.Server, f.At(7000), echo)
				atClient := l.Client.Capture(clientDevice, "tcp port 7000")
				atServer := l.Server.Capture(serverDevice, "tcp port 7000")
				before := l.Server.Capture(serverDevice, "tcp port 7000")
				// The client's kernel takes the handshake for done, but its
				// ACKs do not arrive.
				acks := []string{"OUTPUT", "-p", "tcp", "--dport", "7000", "--tcp-flags", "SYN,ACK", "ACK", "-j", "DROP"}
				l.Client.Run(f.Tool(), append([]string{"-w", "-A"}, acks...)...)
				conn := dial(t, l, f.At(7000))
				if n := p.Counters().Connections; n != 0 {
					t.Errorf("%d connections are kept for a client that has acknowledged nothing", n)
				}
				if frames := before.Frames(); len(frames) > 0 {
					t.Errorf("the server was asked for a client that has acknowledged nothing:\n%s", Dump(frames))
				}
				l.Client.Run(f.Tool(), append([]string{"-w", "-D"}, acks...)...)
				exchange(t, "after the ACK", conn, strings.Repeat("cookie", 500_000))
				_ = conn.CloseWrite()
				if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("after the end: %d octets, %v", n, err)
				}
				wantCookieOptions(t, atClient.Frames(), atServer.Frames(), c.scaled, c.sack, c.tsv)
			})
		})
	}
}

// wantCookieOptions compares what was agreed on with the client in the cookie's
// SYN-ACK, and what the server was offered after that.
func wantCookieOptions(t *testing.T, atClient, atServer []Frame, scaled, sack, timestamps bool) {
	t.Helper()
	wantTwoConnections(t, atClient, atServer)
	server := handshakes(atServer)
	for from, c := range handshakes(atClient) {
		s := server[from]
		if !c.synAck.At.Before(s.syn.At) {
			t.Errorf("the server was asked at %v, before the client was answered at %v", s.syn.At, c.synAck.At)
		}
		for leg, o := range map[string]*Frame{"SYN-ACK to the client": c.synAck, "SYN to the server": s.syn} {
			if (o.Scale >= 0) != scaled || o.SACKOK != sack || o.Timestamps != timestamps {
				t.Errorf("%s: window scale %v, SACK %v, timestamps %v; want %v, %v, %v",
					leg, o.Scale >= 0, o.SACKOK, o.Timestamps, scaled, sack, timestamps)
			}
		}
		if s.syn.MSS == 0 || s.syn.MSS > c.syn.MSS {
			t.Errorf("the server is offered an MSS of %d; the client's is %d", s.syn.MSS, c.syn.MSS)
		}
	}
}
