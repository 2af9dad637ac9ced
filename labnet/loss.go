package labnet

import (
	"fmt"
	"strconv"

	"github.com/coreos/go-iptables/iptables"
)

// lose drops a share of the TCP packets that reach or leave a host. It happens
// at client and server, where no rule of tcpmitm is.
func (h *Host) lose(share float64, six bool) error {
	families := []iptables.Protocol{iptables.ProtocolIPv4}
	if six {
		families = append(families, iptables.ProtocolIPv6)
	}
	p := strconv.FormatFloat(share, 'f', -1, 64)
	for _, family := range families {
		err := h.In(func() error {
			t, err := iptables.New(iptables.IPFamily(family))
			if err != nil {
				return err
			}
			for _, chain := range []string{"PREROUTING", "OUTPUT"} {
				err := t.Append("raw", chain, "-p", "tcp", "-m", "statistic", "--mode", "random", "--probability", p,
					"-m", "comment", "--comment", "tcpmitm lab --loss", "-j", "DROP")
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("losing packets at %s: %w", h.Name, err)
		}
	}
	return nil
}
