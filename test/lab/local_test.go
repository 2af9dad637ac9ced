package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// own is how a host calls itself, over its loopback device.
func (f Family) own() []netip.Addr {
	if f == IPv6 {
		return []netip.Addr{netip.MustParseAddr("::1"), f.GatewayLAN()}
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.9.8.7"), f.GatewayLAN()}
}

// wantSpliced calls from somewhere, sends octets and wants them back, and wants
// tcpmitm to have the connection or not.
func (l *Lab) wantSpliced(p *Proxy, why string, from *Namespace, to netip.AddrPort, text string, spliced bool) {
	l.t.Helper()
	c, err := from.Dial(to, dialWait)
	if err != nil {
		l.t.Errorf("%s: connect: %v", why, err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(commandLimit))
	exchange(l.t, why, c, text)
	if Plain {
		return
	}
	if listed := strings.Contains(p.SS(), c.LocalAddr().String()); listed != spliced {
		l.t.Errorf("%s: spliced %v, want %v:\n%s", why, listed, spliced, p.SS())
	}
}

// TestLocal runs tcpmitm for the host's own connections: those that it makes,
// those that it is called with, and those with itself. What it forwards is
// taken as on a gateway.
func TestLocal(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	p := l.StartProxy("[intercept]\nmode = \"local\"\nports = [7000]\n")
	l.EachFamily(func(t *testing.T, f Family) {
		text := strings.Repeat("data", 50_000)
		own := netip.AddrPortFrom(f.GatewayLAN(), 7000)
		serve(t, l.Server, f.At(7000), echo)
		for _, a := range f.own() {
			serve(t, l.Gateway, netip.AddrPortFrom(a, 7000), echo)
			serve(t, l.Gateway, netip.AddrPortFrom(a, 7001), echo)
		}
		l.wantSpliced(p, "the host calls a server", l.Gateway, f.At(7000), text, true)
		l.wantSpliced(p, "a client calls the host", l.Client, own, text, true)
		l.wantSpliced(p, "a forwarded connection", l.Client, f.At(7000), text, true)
		for _, a := range f.own() {
			l.wantSpliced(p, "the host calls itself at "+a.String(), l.Gateway, netip.AddrPortFrom(a, 7000), text, true)
			l.wantSpliced(p, "the host calls another port of its own at "+a.String(), l.Gateway, netip.AddrPortFrom(a, 7001), text, false)
		}
	})
}

// TestLoopbackSetting: which of the host's connections with itself are taken is
// the setting's to say, and where it says nothing, that of what is named.
func TestLoopbackSetting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		loopback, named string
		taken           bool
	}{
		{"always", "", true},
		{"always", "ports = [7000]\n", true},
		{"always", "ports = [7001]\n", false},
		{"auto", "", false},
		{"auto", "servers = [\"127.0.0.0/8\", \"::1/128\"]\n", true},
		{"never", "ports = [7000]\n", false},
	} {
		t.Run(c.loopback+" "+strings.TrimSpace(strings.Split(c.named, "=")[0]), func(t *testing.T) {
			l := New(t, Options{})
			p := l.StartProxy("[intercept]\nmode = \"local\"\nloopback = \"" + c.loopback + "\"\n" + c.named)
			l.EachFamily(func(t *testing.T, f Family) {
				to := netip.AddrPortFrom(f.own()[0], 7000)
				serve(t, l.Gateway, to, echo)
				l.wantSpliced(p, "the host calls itself", l.Gateway, to, "data", c.taken)
			})
		})
	}
}
