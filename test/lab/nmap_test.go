package lab

import (
	"net"
	"regexp"
	"strings"
	"testing"
)

// nmapSays is the line of nmap -v about sequence numbers.
var nmapSays = regexp.MustCompile(`TCP Sequence Prediction: Difficulty=(\d+) \((.*)\)`)

// TestNmapCannotPredictISNs lets nmap judge the sequence numbers that clients
// see: of connections that are answered once the server has answered, and of
// SYN cookies. endpoint's tests judge those of both legs by statistics.
func TestNmapCannotPredictISNs(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"server-first": clientSide,
		"cookies":      clientSide + "[handshake]\nsyn_cookies = \"always\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			l := New(t, Options{})
			l.StartProxy(config)
			for _, f := range []Family{IPv4, IPv6} {
				serve(t, l.Server, f.At(7000), func(c *net.TCPConn) { echo(c) })
			}
			// One port is open and one is closed, which nmap needs. IPv6 it
			// judges by other means, which do not tell of this.
			out := l.Client.Run("nmap", "-n", "-Pn", "-O", "-v", "-p", "7000,7001", "--max-retries", "3", IPv4.Server().String())
			found := nmapSays.FindStringSubmatch(out)
			if found == nil {
				t.Fatalf("nmap does not judge the sequence numbers:\n%s", out)
			}
			t.Log(found[0])
			if found[2] != "Good luck!" {
				t.Errorf("nmap says %q, want Good luck!", found[0])
			}
			// With a cookie the client is answered before the server is asked.
			closed := regexp.MustCompile(`7001/tcp +closed`).MatchString(out)
			if !strings.Contains(out, "7000/tcp open") || closed != (name == "server-first") {
				t.Errorf("nmap sees other ports than there are:\n%s", out)
			}
		})
	}
}
