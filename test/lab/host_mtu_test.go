package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	wideMTU   = 9000
	narrowMTU = 1280
	bulkSize  = 1 << 20 // octets of each transfer
	// blackHole is how long a transfer may take whose path's MTU nobody
	// tells: three retransmissions in a row are the sign of it.
	blackHole = 30 * time.Second
	// countTooLong marks the rule that counts what the hop says.
	countTooLong = "lab-too-long"
)

// TestHostMTU has jumbo frames on one side and on the other a hop of 1280
// octets, far from the gateway, in both directions, with which ICMP messages
// about it come through or get lost. Where they get lost the peers look for
// the MTU themselves, as we do (net.ipv4.tcp_mtu_probing = 1).
func TestHostMTU(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		narrow    func(l *Lab, r *Namespace)
		config    string
		oursFirst string // the way on which we send into the hop
		silent    bool
	}{
		{"narrow-server-side", narrowServer, clientSide, "upload", false},
		{"narrow-server-side-black-hole", narrowServer, clientSide, "upload", true},
		{"narrow-client-side", narrowClient, narrowClientSide, "download", false},
		{"narrow-client-side-black-hole", narrowClient, narrowClientSide, "download", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Options{MTU: wideMTU, Sysctls: map[string]string{}}
			if c.silent {
				o.Sysctls["net.ipv4.tcp_mtu_probing"] = "1"
			}
			l := New(t, o)
			r := l.AddHost()
			c.narrow(l, r)
			r.refuses(c.silent)
			www := startNginx(t, l)
			sum := payload(t, www+"/file.bin", 9, bulkSize)
			l.StartProxy(c.config)
			l.EachFamily(func(t *testing.T, f Family) { wantBulk(t, l, r, f, www, sum, c.oursFirst, c.silent) })
		})
	}
}

// wantBulk moves a file both ways, through a hop that must have refused
// packets that are too long.
func wantBulk(t *testing.T, l *Lab, r *Namespace, f Family, www, sum, oursFirst string, silent bool) {
	t.Helper()
	limit := 2 * soon
	if silent {
		limit = 2 * blackHole
	}
	url := "http://" + hostPort(f.At(80))
	before := 0
	ways := []struct{ name, command string }{
		{"download", "curl -sS --fail --max-time 55 " + url + "/file.bin | sha256sum"},
		{"upload", "curl -sS --fail --max-time 55 -T " + www + "/file.bin " + url + "/up/" + f.String() + " && sha256sum <" + www + "/up/" + f.String()},
	}
	if oursFirst == "upload" {
		// A peer that has met the hop announces a smaller MSS from then on, and
		// we would send nothing that is too long.
		slices.Reverse(ways)
	}
	for _, way := range ways {
		began := time.Now()
		got := l.Client.Run("bash", "-o", "pipefail", "-c", way.command)
		if !strings.HasPrefix(got, sum) {
			t.Errorf("%s: SHA-256 %s, want %s", way.name, got, sum)
		}
		took := time.Since(began)
		if took > limit/2 {
			t.Errorf("%s: took %v, want at most %v", way.name, took, limit/2)
		}
		after := r.Counted(f, countTooLong)
		// Where one TCP goes all the way, a peer that has met the hop makes the
		// other one's segments small from then on.
		if after == before && !Plain {
			t.Errorf("%s: the hop refused no packet: this proves nothing", way.name)
		}
		t.Logf("%s: %v, %d packets too long", way.name, took.Round(time.Millisecond), after-before)
		before = after
	}
}

// refuses counts what the host says about lengths, and, if it is silent, keeps
// that to itself.
func (n *Namespace) refuses(silent bool) {
	n.lab.t.Helper()
	for _, f := range []Family{IPv4, IPv6} {
		about := []string{"-w", "-A", "OUTPUT", "-p", "icmp", "--icmp-type", "fragmentation-needed"}
		if f == IPv6 {
			about = []string{"-w", "-A", "OUTPUT", "-p", "ipv6-icmp", "--icmpv6-type", "packet-too-big"}
		}
		about = append(about, "-m", "comment", "--comment", countTooLong)
		if silent {
			about = append(about, "-j", "DROP")
		}
		n.Run(f.Tool(), about...)
	}
}

// narrowClientSide is the configuration where the client is behind a hop.
const narrowClientSide = "[intercept]\nclient_side = [\"lan1\"]\n"

// narrowServer puts a hop between gateway and server, which for both takes
// 1280 octets.
func narrowServer(l *Lab, r *Namespace) {
	l.t.Helper()
	l.Join(l.Gateway, "wan1", r, "up0")
	l.Join(r, "down0", l.Server, "eth1")
	l.Gateway.batch("link set wan1 mtu 9000", "addr add 10.4.0.1/24 dev wan1", "addr add fd04::1/64 dev wan1 nodad",
		"route add 10.2.0.2/32 via 10.4.0.2 dev wan1", "route add fd02::2/128 via fd04::2 dev wan1")
	r.batch("link set up0 mtu 9000", "link set down0 mtu 9000", "addr add 10.4.0.2/24 dev up0", "addr add fd04::2/64 dev up0 nodad",
		"addr add 10.5.0.1/24 dev down0", "addr add fd05::1/64 dev down0 nodad",
		narrow("10.2.0.2/32 via 10.5.0.2 dev down0"), narrow("fd02::2/128 via fd05::2 dev down0"),
		narrow("10.1.0.0/24 via 10.4.0.1 dev up0"), narrow("fd01::/64 via fd04::1 dev up0"))
	l.Server.batch("link set eth1 mtu 9000", "addr add 10.5.0.2/24 dev eth1", "addr add fd05::2/64 dev eth1 nodad",
		"route replace default via 10.5.0.1 dev eth1 src 10.2.0.2", "route replace ::/0 via fd05::1 dev eth1 src fd02::2")
}

// narrowClient puts it between client and gateway.
func narrowClient(l *Lab, r *Namespace) {
	l.t.Helper()
	l.Join(l.Client, "eth1", r, "down0")
	l.Join(r, "up0", l.Gateway, "lan1")
	l.Client.batch("link set eth1 mtu 9000", "addr add 10.6.0.2/24 dev eth1", "addr add fd06::2/64 dev eth1 nodad",
		"route replace default via 10.6.0.1 dev eth1 src 10.1.0.2", "route replace ::/0 via fd06::1 dev eth1 src fd01::2")
	r.batch("link set up0 mtu 9000", "link set down0 mtu 9000", "addr add 10.6.0.1/24 dev down0", "addr add fd06::1/64 dev down0 nodad",
		"addr add 10.7.0.2/24 dev up0", "addr add fd07::2/64 dev up0 nodad",
		narrow("10.1.0.2/32 via 10.6.0.2 dev down0"), narrow("fd01::2/128 via fd06::2 dev down0"),
		narrow("10.2.0.0/24 via 10.7.0.1 dev up0"), narrow("fd02::/64 via fd07::1 dev up0"))
	l.Gateway.batch("link set lan1 mtu 9000", "addr add 10.7.0.1/24 dev lan1", "addr add fd07::1/64 dev lan1 nodad",
		"route add 10.1.0.2/32 via 10.7.0.2 dev lan1", "route add fd01::2/128 via fd07::2 dev lan1")
}

func narrow(route string) string { return fmt.Sprintf("route add %s mtu %d", route, narrowMTU) }
