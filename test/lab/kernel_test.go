package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kernelCase is one way in which Linux's TCP can be on either side.
type kernelCase struct {
	name           string
	both           map[string]string // sysctls of client and server
	client, server map[string]string
	congestion     string // of both hosts
	mtu            int
	loss           float64
	// noMSS takes the option out of what both hosts send.
	noMSS bool
	// marks lets routers mark packets of both legs instead of dropping them.
	marks bool
	ipv4  bool // the links are too small for IPv6
	// want is a display filter of which the server's capture must hold a
	// frame, and wantNot one of which it must not.
	want, wantNot string
}

// fromUs selects what the server gets from tcpmitm.
const fromUs = "tcp.dstport == 5000"

var kernelCases = []kernelCase{
	{name: "as it comes", want: "tcp.flags.syn == 1 && tcp.options.timestamp.tsval && tcp.options.sack_perm && tcp.options.wscale"},
	{name: "no timestamps", both: map[string]string{"net.ipv4.tcp_timestamps": "0"}, wantNot: "tcp.options.timestamp.tsval"},
	{name: "no SACK", both: map[string]string{"net.ipv4.tcp_sack": "0"}, wantNot: "tcp.options.sack_perm"},
	{name: "no SACK, loss", both: map[string]string{"net.ipv4.tcp_sack": "0"}, loss: 0.02},
	{name: "no window scaling", both: map[string]string{"net.ipv4.tcp_window_scaling": "0"}, wantNot: "tcp.options.wscale"},
	{name: "no options but MSS", both: map[string]string{
		"net.ipv4.tcp_timestamps": "0", "net.ipv4.tcp_sack": "0", "net.ipv4.tcp_window_scaling": "0",
	}, wantNot: "tcp.options.timestamp.tsval || tcp.options.sack_perm || tcp.options.wscale"},
	{name: "the client has no timestamps, the server no SACK",
		client: map[string]string{"net.ipv4.tcp_timestamps": "0"}, server: map[string]string{"net.ipv4.tcp_sack": "0"},
		wantNot: "tcp.options.timestamp.tsval"},
	{name: "no MSS", noMSS: true, wantNot: fromUs + " && (ip && tcp.len > 536 || ipv6 && tcp.len > 1220)"},
	{name: "ECN on, and routers mark", both: map[string]string{"net.ipv4.tcp_ecn": "1"}, marks: true,
		// The server sees us ask for it, get marked, and answer its echo.
		want: fromUs + " && tcp.flags.cwr == 1 && tcp.flags.syn == 0"},
	{name: "ECN off", both: map[string]string{"net.ipv4.tcp_ecn": "0"}, wantNot: "tcp.flags.ece == 1 || ip.dsfield.ecn > 0"},
	{name: "ECN on at the client, off at the server", client: map[string]string{"net.ipv4.tcp_ecn": "1"},
		server: map[string]string{"net.ipv4.tcp_ecn": "0"}, wantNot: "ip.dsfield.ecn > 0"},
	{name: "MTU 576", mtu: 576, ipv4: true, wantNot: fromUs + " && ip.len > 576"},
	{name: "MTU 1280", mtu: 1280, wantNot: fromUs + " && (ip.len > 1280 || ipv6.plen > 1240)"},
	{name: "MTU 9000", mtu: 9000, want: fromUs + " && tcp.len > 8000"},
	{name: "Reno", congestion: "reno", loss: 0.01},
	{name: "BBR", congestion: "bbr", loss: 0.01},
	{name: "CUBIC", congestion: "cubic", loss: 0.01},
	{name: "small receive buffers", both: map[string]string{"net.ipv4.tcp_rmem": "4096 8192 16384"}},
	{name: "windows that shrink", both: map[string]string{"net.ipv4.tcp_shrink_window": "1", "net.ipv4.tcp_rmem": "4096 16384 65536"}},
	{name: "no RACK, no tail probes", both: map[string]string{"net.ipv4.tcp_recovery": "0", "net.ipv4.tcp_early_retrans": "0"}, loss: 0.01},
	{name: "no D-SACK", both: map[string]string{"net.ipv4.tcp_dsack": "0"}, loss: 0.01},
}

// TestKernels lets tcpmitm stand between Linux hosts of many kinds: octets go
// both ways at once and arrive, each side closes in its own time, and on the
// wire both legs use what both hosts can.
func TestKernels(t *testing.T) {
	for _, c := range kernelCases {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			l := New(t, Options{MTU: c.mtu, Sysctls: c.both, NoOffload: true, Loss: c.loss})
			for key, value := range c.client {
				l.Client.Sysctl(key, value)
			}
			for key, value := range c.server {
				l.Server.Sysctl(key, value)
			}
			if c.noMSS {
				l.Client.stripMSS()
				l.Server.stripMSS()
			}
			if c.marks {
				l.Client.markCongestion("OUTPUT")
				l.Server.markCongestion("OUTPUT")
				l.Client.markCongestion("PREROUTING")
				l.Server.markCongestion("PREROUTING")
			}
			l.StartProxy(clientSide)
			capture := l.Server.Capture(serverDevice, "tcp")
			families := []Family{IPv4, IPv6}
			if c.ipv4 {
				families = families[:1]
			}
			for _, f := range families {
				l.Sub(f.String(), func(t *testing.T) { bothWays(t, l, f, 3<<20, c.congestion) })
			}
			if Plain {
				return
			}
			if bad := capture.Tshark(fromUs + " && (" + wrongSum + " || ip.checksum.status == 0)"); len(bad) > 0 {
				t.Errorf("wrong checksums: %s", bad[0])
			}
			if c.want != "" && len(capture.Tshark(c.want)) == 0 {
				t.Errorf("the server saw no frame with %s", c.want)
			}
			if c.wantNot != "" {
				if bad := capture.Tshark(c.wantNot); len(bad) > 0 {
					t.Errorf("the server saw %d frames with %s, the first: %s", len(bad), c.wantNot, bad[0])
				}
			}
		})
	}
}

// bothWays sends n octets each way at the same time over one connection; the
// client closes its half first, and the server is not done yet. Both use the
// given congestion control, if one is given.
func bothWays(t *testing.T, l *Lab, f Family, n int64, congestion string) {
	t.Helper()
	at := f.At(5000)
	got := make(chan [sha256.Size]byte, 1)
	serve(t, l.Server, at, func(c *net.TCPConn) {
		control(t, c, congestion)
		sum := sha256.New()
		received := make(chan struct{})
		go func() {
			_, _ = io.Copy(sum, c)
			close(received)
		}()
		_, _ = io.Copy(c, io.LimitReader(random(8), n/2))
		<-received
		_, _ = io.Copy(c, io.LimitReader(random(9), n/2))
		got <- [sha256.Size]byte(sum.Sum(nil))
	})
	c := dial(t, l, at)
	control(t, c, congestion)
	began := time.Now()
	sent := make(chan error, 1)
	up := sha256.New()
	go func() {
		_, err := io.Copy(io.MultiWriter(c, up), io.LimitReader(random(7), n))
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	down, want := sha256.New(), sha256.New()
	_, _ = io.Copy(want, io.MultiReader(io.LimitReader(random(8), n/2), io.LimitReader(random(9), n/2)))
	if k, err := io.Copy(down, c); err != nil || k != n/2*2 {
		t.Fatalf("%d octets arrived of %d: %v", k, n/2*2, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%x", down.Sum(nil)) != fmt.Sprintf("%x", want.Sum(nil)) {
		t.Error("other octets than those sent came to the client")
	}
	if sum := <-got; sum != [sha256.Size]byte(up.Sum(nil)) {
		t.Error("other octets than those sent came to the server")
	}
	t.Logf("%d octets each way in %v", n, time.Since(began).Round(time.Millisecond))
}

// stripMSS takes the MSS option out of the SYNs that the host sends.
func (n *Namespace) stripMSS() {
	for _, tool := range []string{"iptables", "ip6tables"} {
		n.Run(tool, "-w", "-t", "mangle", "-A", "OUTPUT", "-p", "tcp", "--tcp-flags", "SYN", "SYN",
			"-j", "TCPOPTSTRIP", "--strip-options", "mss")
	}
}

// markCongestion marks some of the packets that may be marked (RFC 3168), as a
// router does that would else have to drop them.
func (n *Namespace) markCongestion(chain string) {
	for _, tool := range []string{"iptables", "ip6tables"} {
		n.Run(tool, "-w", "-t", "mangle", "-A", chain, "-p", "tcp", "-m", "ecn", "--ecn-ip-ect", "2",
			"-m", "statistic", "--mode", "random", "--probability", "0.02", "-j", "TOS", "--set-tos", "0x03/0x03")
	}
}

// control chooses a connection's congestion control. Root may take any, in a
// network namespace, too.
func control(t *testing.T, c *net.TCPConn, name string) {
	if name == "" {
		return
	}
	raw, err := c.SyscallConn()
	if err == nil {
		inner := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		})
		err = errors.Join(err, inner)
	}
	if err != nil {
		t.Errorf("congestion control %s: %v", name, err)
	}
}
