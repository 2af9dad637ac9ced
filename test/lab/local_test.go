package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestLocal runs tcpmitm for the host's own connections, those that it makes
// and those that it is called with. What it forwards, and what it says to
// itself, is not touched.
func TestLocal(t *testing.T) {
	l := New(t, Options{})
	p := l.StartProxy("[intercept]\nmode = \"local\"\nports = [7000]\n")
	l.EachFamily(func(t *testing.T, f Family) {
		own := netip.AddrPortFrom(f.GatewayLAN(), 7000)
		serve(t, l.Server, f.At(7000), echo)
		serve(t, l.Gateway, own, echo)
		text := strings.Repeat("data", 50_000)

		call := func(why string, from *Namespace, to netip.AddrPort, spliced bool) {
			c, err := from.Dial(to, dialWait)
			if err != nil {
				t.Fatalf("%s: connect: %v", why, err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(commandLimit))
			exchange(t, why, c, text)
			if Plain {
				return
			}
			if listed := strings.Contains(p.SS(), c.LocalAddr().String()); listed != spliced {
				t.Errorf("%s: spliced %v, want %v:\n%s", why, listed, spliced, p.SS())
			}
		}
		call("the host calls a server", l.Gateway, f.At(7000), true)
		call("a client calls the host", l.Client, own, true)
		call("the host calls itself", l.Gateway, own, false)
		call("a forwarded connection", l.Client, f.At(7000), false)
	})
}
