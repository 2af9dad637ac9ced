package lab

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// secondPath lays another link between gateway and server and gives it
// addresses. Routes are the caller's.
func secondPath(l *Lab) {
	l.t.Helper()
	l.Join(l.Gateway, "wan1", l.Server, "eth1")
	l.Gateway.batch("addr add 10.4.0.1/24 dev wan1", "addr add fd04::1/64 dev wan1 nodad")
	l.Server.batch("addr add 10.4.0.2/24 dev eth1", "addr add fd04::2/64 dev eth1 nodad")
}

// The ways between gateway and server.
var (
	firstWay  = vantage{device: serverDevice}
	secondWay = vantage{device: "eth1"}
)

// manyConnections are enough to meet both of two equal paths; that all take
// the same one happens once in half a million runs.
const manyConnections = 20

// TestHostECMP has two paths of equal cost to the server, and all answers
// come back over one of them.
func TestHostECMP(t *testing.T) {
	t.Parallel()
	l := New(t, Options{Strict: true})
	secondPath(l)
	l.Gateway.Sysctl("net.ipv4.fib_multipath_hash_policy", "1") // by ports, too
	l.Gateway.Sysctl("net.ipv6.fib_multipath_hash_policy", "1")
	l.Gateway.batch("route add 10.3.0.1/32 nexthop via 10.2.0.2 dev wan0 nexthop via 10.4.0.2 dev wan1",
		"route add fd03::1/128 nexthop via fd02::2 dev wan0 nexthop via fd04::2 dev wan1")
	l.Server.batch("addr add 10.3.0.1/32 dev lo", "addr add fd03::1/128 dev lo nodad",
		"route replace default via 10.4.0.1 dev eth1", "route replace ::/0 via fd04::1 dev eth1")
	l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		to := netip.AddrPortFrom(f.pick(netip.MustParseAddr("10.3.0.1"), netip.MustParseAddr("fd03::1")), 7000)
		over := traffic{listen: to, to: to, seenAs: []netip.Addr{f.Client()}, connections: manyConnections,
			server: []vantage{firstWay.of(l.Server), secondWay.of(l.Server)}}
		_, atServer := over.want(t, l)
		requests := func(fs []Frame) int {
			return len(Select(fs, func(f *Frame) bool { return f.Dst == to && f.SYN }))
		}
		if a, b := requests(atServer[0]), requests(atServer[1]); a == 0 || b == 0 {
			t.Errorf("%d connections over one path and %d over the other: only one is used", a, b)
		}
		if answers := len(Select(atServer[0], func(f *Frame) bool { return f.Src == to })); answers > 0 {
			t.Errorf("%d answers came over the first path: the test proves nothing", answers)
		}
		wantJudgedOnce("")(t, l, f, manyConnections)
	})
}

// The ports whose connections the host marks, in TestHostMarks.
const (
	markedPort = 7001 // goes the second way, whoever sends
	devicePort = 7002 // the same, but only from devices that are named
	passedPort = 7003 // as markedPort, and tcpmitm lets it pass by
)

// marksConfig gives tcpmitm another bit than the default, within a byte of
// which the host uses the others.
const marksConfig = "[intercept]\nclient_side = [\"lan0\"]\nmark = 0x00400000\n" +
	"[[rule]]\nname = \"pass\"\nmatch = { ports = [7003] }\naction = \"pass\"\n"

// TestHostMarks has a host that routes by marks, which it keeps with the
// connection, and that tags all packets. Its marks work for what the client
// sends and for what we send, and no bit of a mark changes but ours, which
// nobody sees outside of our rules.
func TestHostMarks(t *testing.T) {
	t.Parallel()
	l := New(t, Options{Strict: true})
	secondPath(l)
	routeByMark(l)
	watchMarks(l)
	p := l.StartProxy(marksConfig)
	if !Plain {
		if d := examine(t, l, p.Config); d.has("routes-by-device", "warning") {
			t.Errorf("each rule that names a device has its twin, and the doctor finds %+v", d)
		}
	}
	l.EachFamily(func(t *testing.T, f Family) {
		for _, c := range []struct {
			why    string
			port   uint16
			second bool
		}{
			{"not marked", 7000, false},
			{"marked by the host", markedPort, true},
			{"marked by the host for devices", devicePort, true},
		} {
			over := traffic{listen: f.At(c.port), to: f.At(c.port), seenAs: []netip.Addr{f.Client()}, connections: rawConnections,
				server: []vantage{firstWay.of(l.Server), secondWay.of(l.Server)}}
			_, atServer := over.want(t, l)
			for i, frames := range atServer {
				sent := len(Select(frames, func(fr *Frame) bool { return fr.Dst == f.At(c.port) }))
				if on := sent > 0; on != (c.second == (i == 1)) {
					t.Errorf("%s: %d packets to the server on path %d", c.why, sent, i+1)
				}
			}
		}
		// A connection that passes by goes through the same rules.
		atFirst, atSecond := l.Server.Capture(serverDevice, "tcp dst port 7003"), l.Server.Capture("eth1", "tcp dst port 7003")
		came := make(chan arrived, 1)
		serve(t, l.Server, f.At(passedPort), answerAfterEnd(came))
		if err := converse(dial(t, l, f.At(passedPort))); err != nil {
			t.Errorf("past tcpmitm: %v", err)
		}
		if a, b := len(atFirst.Frames()), len(atSecond.Frames()); a != 0 || b == 0 {
			t.Errorf("past tcpmitm: %d packets on the first path, %d on the second", a, b)
		}
		wantMarks(t, l, f)
		wantJudgedOnce("")(t, l, f, 3*rawConnections+1)
	})
}

// routeByMark is policy routing as hosts with two uplinks do it: the mark is
// restored from the connection, set where there is none, and saved.
func routeByMark(l *Lab) {
	l.t.Helper()
	l.Gateway.batch("route add 10.2.0.2/32 via 10.4.0.2 dev wan1 table 100", "rule add fwmark 0x2/0xff lookup 100")
	l.Gateway.batch("route add fd02::2/128 via fd04::2 dev wan1 table 100")
	l.Gateway.Run("ip", "-6", "rule", "add", "fwmark", "0x2/0xff", "lookup", "100")
	for _, f := range []Family{IPv4, IPv6} {
		rule := func(args ...string) {
			l.Gateway.Run(f.Tool(), append([]string{"-w", "-t", "mangle", "-A", "PREROUTING"}, args...)...)
		}
		rule("-j", "MARK", "--set-xmark", "0x110000/0xbf0000") // a tag, in all bits of a byte but tcpmitm's
		rule("-j", "CONNMARK", "--restore-mark", "--nfmask", "0xff", "--ctmask", "0xff")
		set := []string{"-j", "MARK", "--set-xmark", "0x2/0xff"}
		rule(append([]string{"-p", "tcp", "-m", "multiport", "--dports", "7001,7003", "-m", "mark", "--mark", "0x0/0xff"}, set...)...)
		// What comes from a device must be said of ours, too.
		for _, device := range []string{lanDevice, "mitm-s"} {
			rule(append([]string{"-i", device, "-p", "tcp", "--dport", "7002", "-m", "mark", "--mark", "0x0/0xff"}, set...)...)
		}
		rule("-j", "CONNMARK", "--save-mark", "--nfmask", "0xff", "--ctmask", "0xff")
	}
}

// watchMarks counts what leaves the gateway with a mark that it should not have.
func watchMarks(l *Lab) {
	l.t.Helper()
	l.Gateway.Run("nft", "-f", l.File("watch.nft", `
		table inet watch {
			chain post {
				type filter hook postrouting priority 300
				meta l4proto tcp counter comment "all"
				meta l4proto tcp meta mark & 0x00bf0000 != 0x00110000 counter comment "changed"
				meta l4proto tcp meta mark & 0xff000000 != 0 counter comment "set"
				meta l4proto tcp meta mark & 0x00400000 != 0 counter comment "ours"
			}
		}`))
}

var connectionMark = regexp.MustCompile(`dport=(\d+) .*mark=(\d+)`)

// wantMarks looks at the marks of packets and of connections.
func wantMarks(t *testing.T, l *Lab, f Family) {
	t.Helper()
	for line := range strings.Lines(l.Gateway.Run("nft", "list", "table", "inet", "watch")) {
		var packets int
		_, after, ok := strings.Cut(line, "counter packets ")
		if !ok {
			continue
		}
		if _, err := fmt.Sscan(after, &packets); err != nil {
			t.Fatalf("counter in %q: %v", line, err)
		}
		if all := strings.Contains(line, `"all"`); all != (packets > 0) {
			t.Errorf("%d packets met: %s", packets, strings.TrimSpace(line))
		}
	}
	seen := map[string]int{}
	for line := range strings.Lines(l.Gateway.Run("cat", "/proc/net/nf_conntrack")) {
		m := connectionMark.FindStringSubmatch(line)
		if m == nil || !strings.HasPrefix(line, f.String()) {
			continue
		}
		mark, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		seen[m[1]]++
		want := 0
		if m[1] != "7000" {
			want = 2
		}
		if mark != want {
			t.Errorf("a connection has mark %#x, want %#x: %s", mark, want, line)
		}
	}
	for _, port := range []string{"7000", "7001", "7002", "7003"} {
		if seen[port] == 0 {
			t.Errorf("no connection to port %s is known to conntrack: this proves nothing", port)
		}
	}
}
