package nfq

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a kernel without a module answers is told in one line that names the
// module.
func TestMissingModulesAreNamed(t *testing.T) {
	for _, c := range []struct {
		why    string
		err    error
		remedy string
	}{
		{"no NFQUEUE", queueError(29300, unix.EINVAL), "modprobe nfnetlink_queue"},
		{"no netlink to netfilter", queueError(29300, unix.EPROTONOSUPPORT), "modprobe nfnetlink_queue"},
		{"no TUN file", tunError("mitm-c", unix.ENOENT), "modprobe tun"},
		{"no TUN driver", tunError("mitm-c", unix.ENODEV), "modprobe tun"},
		{"no target", iptablesError("installing", errors.New("iptables: No chain/target/match by that name: -j NFQUEUE")), "modprobe xt_NFQUEUE"},
		{"no CT", iptablesError("installing", errors.New("iptables v1.8.9: Extension CT revision 0 not supported: -j CT")), "xt_CT"},
		{"no u32", iptablesError("installing", errors.New("Couldn't load match `u32'")), "modprobe xt_u32"},
		{"no raw table", iptablesError("installing", errors.New("can't initialize iptables table `raw': Table does not exist")), "iptable_raw"},
	} {
		if !errors.Is(c.err, ErrNoKernel) {
			t.Errorf("%s: %v is not ErrNoKernel", c.why, c.err)
		}
		if text := c.err.Error(); !strings.Contains(text, c.remedy) || strings.Contains(text, "\n") {
			t.Errorf("%s: %q, wanted one line with %q", c.why, text, c.remedy)
		}
	}
}
