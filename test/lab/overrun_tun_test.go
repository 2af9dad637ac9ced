package lab

import (
	"strings"
	"testing"
	"time"
)

// TestOverrunTUN lets the TUN devices take nothing for two seconds, and then
// the link towards the server be far too slow for what the gateway gets:
// transfers go on, and the log says that packets were lost.
func TestOverrunTUN(t *testing.T) {
	l, p, reset, ok := troubled(t, 2, 64<<20, func(l *Lab, _ *Proxy) {
		// A device that is down refuses what is written to it, like one that
		// has no memory left.
		for _, device := range []string{"mitm-s", "mitm-c"} {
			l.Gateway.Run("ip", "link", "set", device, "down")
			time.Sleep(time.Second)
			l.Gateway.Run("ip", "link", "set", device, "up")
		}
		l.Gateway.Run("tc", "qdisc", "add", "dev", wanDevice, "root", "tbf", "rate", "200mbit", "burst", "64k", "limit", "100k")
	})
	if !ok {
		return
	}
	if reset != 0 {
		t.Errorf("%d transfers were reset, though every loss was short", reset)
	}
	eventually(t, "the log tells of the loss", soon, func() (bool, string) {
		return strings.Contains(p.Log(), "packets were lost: the TUN devices were congested"), p.Log()
	})
	var c struct {
		Edge struct {
			LostOut uint64 `json:"lost_out"`
		} `json:"edge"`
	}
	if err := p.Ask("/v1/counters", &c); err != nil || c.Edge.LostOut == 0 {
		t.Errorf("the counters tell of %d packets that the devices did not take: %v", c.Edge.LostOut, err)
	}
	wantNoConnections(t, p, 30*time.Second)
	l.Gateway.Run("tc", "qdisc", "del", "dev", wanDevice, "root")
}
