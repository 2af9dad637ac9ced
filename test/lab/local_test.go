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
