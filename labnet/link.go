package labnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostDevice is the name of the device of client and server.
const hostDevice = "eth0"

// end is one end of a link.
type end struct {
	host   *Host
	device string
	mac    net.HardwareAddr
	four   netip.Prefix
	six    netip.Prefix
	router bool // the other end is not on the way to anywhere else
}

// local is a MAC address that nobody was sold.
func local(last ...byte) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0, 0, 0}, last...)
}

// join lays the links, and gives addresses and routes.
func (n *Net) join(o Options) error {
	for _, h := range n.hosts() {
		if err := n.prepare(h); err != nil {
			return fmt.Errorf("preparing %s: %w", h.Name, err)
		}
	}
	lan := end{n.Gateway, LAN, local(1, 1), LAN4, LAN6, true}
	wan := end{n.Gateway, WAN, local(2, 1), WAN4, WAN6, true}
	client := end{n.Client, hostDevice, local(1, 2), Client4, Client6, false}
	server := end{n.Server, hostDevice, local(2, 2), Server4, Server6, false}
	for _, l := range [][2]end{{client, lan}, {server, wan}} {
		if err := n.lay(l[0], l[1], o); err != nil {
			return fmt.Errorf("linking %s with %s: %w", l[0].host.Name, l[1].host.Name, err)
		}
	}
	return nil
}

// prepare sets what must be set before there is an address, and raises the
// loopback device.
func (n *Net) prepare(h *Host) error {
	var errs []error
	if n.IPv6 {
		// A machine may have IPv6 switched off for new devices.
		errs = append(errs, h.sysctl("ipv6/conf/all/disable_ipv6", "0"), h.sysctl("ipv6/conf/default/disable_ipv6", "0"))
		// Nobody else is there, so nobody has to be asked for a second whether
		// an address is taken.
		errs = append(errs, h.sysctl("ipv6/conf/all/accept_dad", "0"), h.sysctl("ipv6/conf/default/accept_dad", "0"))
	}
	if h == n.Gateway {
		errs = append(errs, h.sysctl("ipv4/ip_forward", "1"))
		if n.IPv6 {
			errs = append(errs, h.sysctl("ipv6/conf/all/forwarding", "1"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	k, err := netlink.NewHandleAt(h.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer k.Close()
	lo, err := k.LinkByName("lo")
	if err != nil {
		return err
	}
	return k.LinkSetUp(lo)
}

// lay lays one link.
func (n *Net) lay(a, b end, o Options) error {
	k, err := netlink.NewHandleAt(a.host.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer k.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = a.device, a.mac, o.MTU
	err = k.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs,
		PeerName:  b.device, PeerHardwareAddr: b.mac, PeerNamespace: netlink.NsFd(b.host.handle),
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("%w: the kernel has no veth devices: modprobe veth, or boot one with CONFIG_VETH", err)
	}
	if err != nil {
		return err
	}
	if err := n.equip(a, b, o); err != nil {
		return err
	}
	return n.equip(b, a, o)
}

// equip gives one end all it needs.
func (n *Net) equip(e, other end, o Options) error {
	k, err := netlink.NewHandleAt(e.host.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer k.Close()
	link, err := k.LinkByName(e.device)
	if err != nil {
		return err
	}
	if o.MTU != 0 {
		if err := k.LinkSetMTU(link, o.MTU); err != nil {
			return fmt.Errorf("MTU: %w", err)
		}
	}
	if !o.Offload {
		// Whoever sends has to cut into segments beforehand.
		if err := k.LinkSetGSOMaxSegs(link, 1); err != nil {
			return fmt.Errorf("segment size: %w", err)
		}
	}
	if err := k.LinkSetUp(link); err != nil {
		return fmt.Errorf("raising it: %w", err)
	}
	if err := address(k, link, e.four, other.four.Addr(), other, !e.router); err != nil {
		return err
	}
	if !n.IPv6 {
		return nil
	}
	return address(k, link, e.six, other.six.Addr(), other, !e.router)
}

// address gives a device an address, tells it its neighbour, and, if that is
// the way to everywhere, a route.
func address(k *netlink.Handle, link netlink.Link, own netip.Prefix, neighbour netip.Addr, other end, route bool) error {
	index := link.Attrs().Index
	a := &netlink.Addr{IPNet: &net.IPNet{IP: own.Addr().AsSlice(), Mask: net.CIDRMask(own.Bits(), own.Addr().BitLen())}}
	if own.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := k.AddrAdd(link, a); err != nil {
		return fmt.Errorf("address %v: %w", own, err)
	}
	// An IPv6 host answers its neighbours' questions only some time after its
	// address came, so they are told beforehand.
	err := k.NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, IP: neighbour.AsSlice(), HardwareAddr: other.mac,
	})
	if err != nil {
		return fmt.Errorf("neighbour %v: %w", neighbour, err)
	}
	if !route {
		return nil
	}
	family := netlink.FAMILY_V4
	if own.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	every := &net.IPNet{IP: make(net.IP, own.Addr().BitLen()/8), Mask: net.CIDRMask(0, own.Addr().BitLen())}
	if err := k.RouteAdd(&netlink.Route{Family: family, LinkIndex: index, Dst: every, Gw: neighbour.AsSlice()}); err != nil {
		return fmt.Errorf("route over %v: %w", neighbour, err)
	}
	return nil
}
