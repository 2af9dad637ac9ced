package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// host is one cell of the matrix: a kind of gateway that tcpmitm has to live
// with. docs/hosts.md has a row for each; those with a topology of their own
// have tests of their own.
type host struct {
	name    string
	options Options
	config  string // of tcpmitm; clientSide if empty
	// prepare makes the gateway what it is, before tcpmitm starts.
	prepare func(l *Lab)
	// forward is the address that clients call instead of the server's, with
	// other ports (forwardRaw, forwardWeb); nil: the server's own.
	forward func(f Family) netip.Addr
	// seenAs are the addresses of which the server may see one as the
	// client's; nil: the client's own.
	seenAs func(f Family) []netip.Addr
	// after looks at the gateway when connections have been made.
	after func(t *testing.T, l *Lab, f Family, connections int)
}

// The ports of forwarded connections.
const (
	forwardRaw = 8080 // to port 7000
	forwardWeb = 8081 // to nginx
)

func seenAsGateway(f Family) []netip.Addr { return []netip.Addr{f.GatewayWAN()} }

// hosts are the cells in which the three hosts of the lab stay in a row.
var hosts = []host{
	{name: "plain-routing"},
	{name: "masquerade", options: Options{Masquerade: true}, seenAs: seenAsGateway},
	{name: "snat-pool", prepare: snatPool, seenAs: poolOf, after: wantPoolUsed},
	{name: "port-forward", options: Options{Strict: true}, prepare: forwardPorts, forward: Family.GatewayLAN, after: wantJudgedOnce("")},
	{name: "strict-firewall", options: Options{Strict: true, Masquerade: true}, seenAs: seenAsGateway, after: wantJudgedOnce("")},
	{name: "forbidden-port", prepare: forbidPorts, after: wantForbidden},
	{name: "legacy", options: Options{Legacy: true, Strict: true, Masquerade: true}, seenAs: seenAsGateway, after: wantJudgedOnce("")},
	{name: "legacy-beside-nft", prepare: legacyBeside, seenAs: seenAsGateway, after: wantJudgedOnce("-legacy")},
	{name: "mtu-9000-1280", options: Options{MTU: wideMTU}, prepare: narrowLink((*Lab).serverLink)},
	{name: "mtu-1280-9000", options: Options{MTU: wideMTU}, prepare: narrowLink((*Lab).clientLink)},
	{name: "strict-source-check", options: Options{Strict: true}, prepare: strictSource, after: wantJudgedOnce("")},
}

// TestHostMatrix has the same traffic in each cell: connections that carry
// octets both ways and whose halves end one after the other, and curl with
// nginx. In each they are spliced, whole, and leave the gateway as it was.
func TestHostMatrix(t *testing.T) {
	t.Parallel()
	for _, h := range hosts {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			l := New(t, h.options)
			if h.prepare != nil {
				h.prepare(l)
			}
			www := startNginx(t, l)
			sum := payload(t, www+"/file.bin", 8, webSize)
			config := h.config
			if config == "" {
				config = clientSide
			}
			l.StartProxy(config)
			l.EachFamily(func(t *testing.T, f Family) {
				raw, web := f.At(7000), f.At(80)
				if h.forward != nil {
					raw, web = netip.AddrPortFrom(h.forward(f), forwardRaw), netip.AddrPortFrom(h.forward(f), forwardWeb)
				}
				seen := []netip.Addr{f.Client()}
				if h.seenAs != nil {
					seen = h.seenAs(f)
				}
				wantSpliced(t, l, f, raw, seen)
				wantWeb(t, l, www, sum, web)
				if h.after != nil {
					h.after(t, l, f, rawConnections+webConnections)
				}
			})
		})
	}
}

// snatPool hides the client behind one of four addresses.
func snatPool(l *Lab) {
	for _, f := range []Family{IPv4, IPv6} {
		pool := poolOf(f)
		for _, a := range pool {
			l.Gateway.batch(fmt.Sprintf("addr add %v/%d dev wan0%s", a, f.linkBits(), f.noDAD()))
			l.Server.batch(fmt.Sprintf("neigh replace %v dev eth0 lladdr %s", a, wanMAC))
		}
		l.Gateway.Run(f.Tool(), "-w", "-t", "nat", "-A", "POSTROUTING", "-o", wanDevice, "-j", "SNAT",
			"--to-source", fmt.Sprintf("%v-%v", pool[0], pool[len(pool)-1]))
	}
}

func poolOf(f Family) []netip.Addr {
	first := f.pick(netip.MustParseAddr("10.2.0.100"), netip.MustParseAddr("fd02::100"))
	pool := []netip.Addr{first}
	for range 3 {
		pool = append(pool, pool[len(pool)-1].Next())
	}
	return pool
}

// wantPoolUsed wants the host's SNAT rule to have met each connection.
func wantPoolUsed(t *testing.T, l *Lab, f Family, connections int) {
	t.Helper()
	var met int
	for line := range strings.Lines(l.Gateway.Run(f.Tool()+"-save", "-c", "-t", "nat")) {
		if strings.Contains(line, "-j SNAT") {
			_, _ = fmt.Sscanf(line, "[%d:", &met)
		}
	}
	if met != connections {
		t.Errorf("the SNAT rule met %d packets for %d connections:\n%s", met, connections, l.Gateway.Run(f.Tool()+"-save", "-c"))
	}
}

// forwardPorts gives the outside, here the client's side, two ports of the
// gateway's that lead to the inner server.
func forwardPorts(l *Lab) {
	for _, f := range []Family{IPv4, IPv6} {
		for from, to := range map[int]netip.AddrPort{forwardRaw: f.At(7000), forwardWeb: f.At(80)} {
			l.Gateway.Run(f.Tool(), "-w", "-t", "nat", "-A", "PREROUTING", "-i", lanDevice, "-d", f.GatewayLAN().String(),
				"-p", "tcp", "--dport", fmt.Sprint(from), "-j", "DNAT", "--to-destination", to.String())
		}
	}
}

// wantJudgedOnce wants the strict firewall, made by iptables of some kind, to
// have judged each connection once, as NEW, to have met nothing that is
// INVALID, and to keep what it forbids from the server.
func wantJudgedOnce(kind string) func(t *testing.T, l *Lab, f Family, connections int) {
	return func(t *testing.T, l *Lab, f Family, connections int) {
		t.Helper()
		tool := f.Tool() + kind
		// The last segments of the connections pass the firewall.
		eventually(t, "the firewall has seen each connection once", soon, func() (bool, string) {
			n := l.Gateway.countedBy(tool, countNew)
			return n == connections, fmt.Sprintf("%d NEW packets for %d connections", n, connections)
		})
		wantDenied(t, l, f)
		if n := l.Gateway.countedBy(tool, countInvalid); n != 0 {
			t.Errorf("the firewall called %d packets INVALID, want 0", n)
		}
		if n := l.Gateway.countedBy(tool, countNew); n != connections {
			t.Errorf("the firewall judged %d packets NEW for %d connections", n, connections)
		}
		if n := l.Gateway.countedBy(tool, countDenied); n == 0 {
			t.Error("the firewall dropped nothing on the forbidden port: this proves nothing")
		}
	}
}

// The ports that forbidPorts forbids, each with another answer.
const (
	forbiddenReset = 7011 // RST
	forbiddenICMP  = 7012 // administratively prohibited
	forbiddenDrop  = 7013 // none
)

func forbidPorts(l *Lab) {
	for _, f := range []Family{IPv4, IPv6} {
		forbid := func(port int, target ...string) {
			l.Gateway.Run(f.Tool(), append([]string{"-w", "-A", "FORWARD", "-p", "tcp", "--dport", fmt.Sprint(port), "-j"}, target...)...)
		}
		prohibited := "icmp-admin-prohibited"
		if f == IPv6 {
			prohibited = "icmp6-adm-prohibited"
		}
		forbid(forbiddenReset, "REJECT", "--reject-with", "tcp-reset")
		forbid(forbiddenICMP, "REJECT", "--reject-with", prohibited)
		forbid(forbiddenDrop, "DROP")
	}
}

// wantForbidden calls the forbidden ports, behind each of which somebody
// would answer, and looks at the server's wire.
func wantForbidden(t *testing.T, l *Lab, f Family, _ int) {
	t.Helper()
	atServer := l.Server.Capture(serverDevice, fmt.Sprintf("tcp portrange %d-%d", forbiddenReset, forbiddenDrop))
	for _, port := range []uint16{forbiddenReset, forbiddenICMP, forbiddenDrop} {
		serve(t, l.Server, f.At(port), echo)
		c, err := l.Client.Dial(f.At(port), 1500*time.Millisecond)
		if err == nil {
			_ = c.Close()
			t.Errorf("the client reached port %d, which the firewall forbids", port)
			continue
		}
		var failed net.Error
		silence := errors.As(err, &failed) && failed.Timeout()
		if silence != (port == forbiddenDrop) {
			t.Errorf("port %d: the client was told %v", port, err)
		}
	}
	if frames := atServer.Frames(); len(frames) > 0 {
		t.Errorf("the server saw what the firewall forbids:\n%s", Dump(frames))
	}
}

// legacyBeside is a host whose firewall is made by the legacy iptables, while
// plain iptables, which tcpmitm uses, is the one of nf_tables.
func legacyBeside(l *Lab) {
	for _, f := range []Family{IPv4, IPv6} {
		l.strictFirewall(f.Tool() + "-legacy")
		l.Gateway.Run(f.Tool()+"-legacy", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", wanDevice, "-j", "MASQUERADE")
	}
}

// strictSource drops what does not come from where an answer would go, for
// all devices and for each.
func strictSource(l *Lab) {
	for _, device := range []string{"all", "default", lanDevice, wanDevice} {
		l.Gateway.Sysctl("net.ipv4.conf."+device+".rp_filter", "1")
	}
}

// narrowLink makes one link of the gateway one of 1280 octets.
func narrowLink(ends func(l *Lab) [2]vantage) func(l *Lab) {
	return func(l *Lab) {
		for _, end := range ends(l) {
			end.host.batch(fmt.Sprintf("link set %s mtu %d", end.device, narrowMTU))
		}
	}
}

func (l *Lab) clientLink() [2]vantage {
	return [2]vantage{{l.Client, clientDevice}, {l.Gateway, lanDevice}}
}

func (l *Lab) serverLink() [2]vantage {
	return [2]vantage{{l.Server, serverDevice}, {l.Gateway, wanDevice}}
}
