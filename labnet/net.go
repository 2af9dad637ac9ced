package labnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// The hosts' addresses. They lie in 10.0.0.0/8, as those of many examples do.
var (
	Client4  = netip.MustParsePrefix("10.1.0.2/24")
	LAN4     = netip.MustParsePrefix("10.1.0.1/24")
	WAN4     = netip.MustParsePrefix("10.2.0.1/24")
	Server4  = netip.MustParsePrefix("10.2.0.2/24")
	Client6  = netip.MustParsePrefix("fd01::2/64")
	LAN6     = netip.MustParsePrefix("fd01::1/64")
	WAN6     = netip.MustParsePrefix("fd02::1/64")
	Server6  = netip.MustParsePrefix("fd02::2/64")
	LAN, WAN = "lan0", "wan0" // the gateway's devices, towards the client and the server
)

// Bounds of Options.
const (
	LeastMTU    = 576 // what every host must be able to receive (RFC 791, 3.2)
	MostMTU     = 65535
	LeastMTU6   = 1280 // a link of less has no IPv6 (RFC 8200, 5)
	goodbyeTime = time.Second
	killTime    = 5 * time.Second
	look        = 10 * time.Millisecond
)

// Options say how a Net differs from the default.
type Options struct {
	MTU int // of all links; 0: 1500
	// Offload lets the hosts hand each other segments of up to 64 KiB, which is
	// faster. Without it they are what a wire would carry.
	Offload bool
	// Loss is the share of TCP packets that are lost on each link, each way.
	Loss float64
}

// Net is three hosts in a row.
type Net struct {
	Client, Gateway, Server *Host
	IPv6                    bool // the hosts have IPv6
	Folder                  string

	claim *claim
}

// Check tells whether a Net could be made, and else what to do about it.
func Check(o Options) error {
	if o.MTU != 0 && (o.MTU < LeastMTU || o.MTU > MostMTU) {
		return fmt.Errorf("an MTU of %d is not possible: it must be from %d to %d", o.MTU, LeastMTU, MostMTU)
	}
	if !(o.Loss >= 0 && o.Loss < 1) {
		return fmt.Errorf("a loss of %v is not possible: it must be at least 0 and less than 1", o.Loss)
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces can be made by root only: run it with sudo")
	}
	if _, err := os.Stat(hostsFile); err != nil {
		return fmt.Errorf("%s is needed, to put a file with the lab's names in its place: make one, empty if need be (touch %s): %w", hostsFile, hostsFile, err)
	}
	return nil
}

// Make makes the hosts. On an error nothing is left.
func Make(o Options) (*Net, error) {
	if err := Check(o); err != nil {
		return nil, err
	}
	c, err := newClaim()
	if err != nil {
		return nil, err
	}
	n := &Net{claim: c, Folder: c.folder}
	if err := n.build(o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Net) build(o Options) (err error) {
	_, six := os.Stat("/proc/sys/net/ipv6")
	n.IPv6 = six == nil && (o.MTU == 0 || o.MTU >= LeastMTU6)
	for _, h := range []struct {
		role string
		at   **Host
	}{{roleClient, &n.Client}, {roleGateway, &n.Gateway}, {roleServer, &n.Server}} {
		if *h.at, err = newHost(n.claim.hostName(h.role)); err != nil {
			return err
		}
	}
	if err := n.writeNames(); err != nil {
		return err
	}
	if err := n.join(o); err != nil {
		return err
	}
	if o.Loss > 0 {
		return errors.Join(n.Client.lose(o.Loss, n.IPv6), n.Server.lose(o.Loss, n.IPv6))
	}
	return nil
}

func (n *Net) hosts() (list []*Host) {
	for _, h := range []*Host{n.Client, n.Gateway, n.Server} {
		if h != nil {
			list = append(list, h)
		}
	}
	return list
}

// Close ends what runs in the namespaces, and removes all that Make made.
func (n *Net) Close() error {
	var names []string
	for _, h := range n.hosts() {
		names = append(names, h.Name)
	}
	endAll(names, goodbyeTime)
	var errs []error
	for _, h := range n.hosts() {
		errs = append(errs, h.remove())
	}
	return errors.Join(append(errs, n.claim.release())...)
}
