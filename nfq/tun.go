package nfq

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

const (
	// DefaultTUNPrefix begins the names of the TUN devices, which end with
	// -c towards clients and -s towards servers.
	DefaultTUNPrefix = "mitm"
	// maxTUNPrefix bounds the prefix, in octets: a device's name has at most
	// IFNAMSIZ-1.
	maxTUNPrefix = unix.IFNAMSIZ - 1 - len("-c")
	// maxTUNFiles bounds the shards: the kernel allows that many files for
	// one device (MAX_TAP_QUEUES).
	maxTUNFiles = 256

	tunMTU = maxPacket
	// tunQueueLen bounds the packets that the kernel keeps for us to read,
	// which are none: nothing is ever routed to these devices.
	tunQueueLen = 16
)

// dummyAddress is the IPv4 dummy address of RFC 7600. The check of source
// addresses refuses, even when it is loose, whatever comes from a device
// that has no address at all; this one is nobody's.
var dummyAddress = net.IPv4(192, 0, 0, 8).To4()

// legSuffix ends the name of each leg's device.
var legSuffix = [2]string{endpoint.Client: "-c", endpoint.Server: "-s"}

// TUNs are the two devices through which segments enter the host, each with
// one file a shard. They vanish with the process.
type TUNs struct {
	// Names of the devices, by leg.
	Names [2]string
	// Warnings are what could not be set but need not stop anybody.
	Warnings []string

	files [][2]int // by shard and leg
}

// TUNConfig says which devices to make.
type TUNConfig struct {
	Prefix string // DefaultTUNPrefix if empty
	Shards int
	// Local is set in local mode, where the devices have to forward even if
	// the host itself does not.
	Local bool
}

// OpenTUNs makes both devices and brings them up, in the network namespace
// of the calling thread.
func OpenTUNs(c TUNConfig) (*TUNs, error) {
	if c.Prefix == "" {
		c.Prefix = DefaultTUNPrefix
	}
	if err := checkPrefix(c.Prefix); err != nil {
		return nil, err
	}
	if c.Shards < 1 || c.Shards > maxTUNFiles {
		return nil, fmt.Errorf("%d shards: a TUN device can have 1 to %d files", c.Shards, maxTUNFiles)
	}
	t := &TUNs{files: make([][2]int, 0, c.Shards)}
	for leg := range legSuffix {
		t.Names[leg] = c.Prefix + legSuffix[leg]
	}
	for range c.Shards {
		if err := t.openShard(); err != nil {
			t.Close()
			return nil, err
		}
	}
	for _, name := range t.Names {
		if err := t.configure(name, c.Local); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

// checkPrefix keeps names out that iptables would read as a pattern, and
// that the kernel does not allow.
func checkPrefix(prefix string) error {
	if len(prefix) > maxTUNPrefix || strings.ContainsAny(prefix, "/+:! \t\n\"'") || strings.HasPrefix(prefix, "-") {
		return fmt.Errorf("TUN prefix %q: want 1 to %d letters, digits or dashes", prefix, maxTUNPrefix)
	}
	return nil
}

func (t *TUNs) openShard() error {
	first := len(t.files) == 0
	pair := [2]int{-1, -1}
	for leg, name := range t.Names {
		fd, err := openTUN(name, first)
		if err != nil {
			if pair[0] >= 0 {
				unix.Close(pair[0])
			}
			return err
		}
		pair[leg] = fd
	}
	t.files = append(t.files, pair)
	return nil
}

// openTUN opens one more file of a device, and makes the device with the
// first one.
func openTUN(name string, first bool) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, tunError(name, err)
	}
	fail := func(err error) (int, error) {
		unix.Close(fd)
		return -1, tunError(name, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fail(err)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
	if first {
		flags |= unix.IFF_TUN_EXCL
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return fail(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetHeaderLen); err != nil {
		return fail(fmt.Errorf("setting the header size: %w", err))
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
		return fail(fmt.Errorf("setting the offloads: %w", err))
	}
	return fd, nil
}

func (t *TUNs) configure(name string, local bool) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding TUN device %s: %w", name, err)
	}
	// Settings first: what is set after the device is up comes too late for
	// the first packet.
	if err := t.settings(name, local); err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, tunMTU); err != nil {
		return fmt.Errorf("setting the MTU of %s: %w", name, err)
	}
	if err := netlink.LinkSetTxQLen(link, tunQueueLen); err != nil {
		return fmt.Errorf("setting the queue length of %s: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: dummyAddress, Mask: net.CIDRMask(32, 32)}, Scope: unix.RT_SCOPE_HOST}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("giving %s an address: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing %s up: %w", name, err)
	}
	return nil
}

// settings makes the kernel take packets from a device whose sources live
// elsewhere.
func (t *TUNs) settings(name string, local bool) error {
	v4 := "net/ipv4/conf/" + name + "/"
	for _, s := range []struct{ key, value string }{
		// The greater of this and the setting for all devices counts, so
		// that 0 would not do where the host has 1; 2 is loose and wins.
		{v4 + "rp_filter", "2"},
		// A host's own address may be the source: in local mode, and where
		// the host forwards one of its ports.
		{v4 + "accept_local", "1"},
		{v4 + "forwarding", "1"},
	} {
		if err := writeSetting(s.key, s.value); err != nil {
			return err
		}
	}
	v6 := "net/ipv6/conf/" + name + "/"
	if _, err := os.Stat("/proc/sys/" + v6); err != nil {
		return nil // a host without IPv6
	}
	// 1 is "none": no link-local address, so no router solicitation either.
	if err := writeSetting(v6+"addr_gen_mode", "1"); err != nil {
		return err
	}
	if err := writeSetting(v6+"disable_ipv6", "0"); err != nil {
		return err
	}
	if !local || readSetting("net/ipv6/conf/all/forwarding") == "1" {
		return nil
	}
	// Only newer kernels can forward IPv6 for one device alone.
	if err := writeSetting(v6+"force_forwarding", "1"); err != nil {
		t.warn("IPv6 connections cannot be intercepted: this kernel forwards IPv6 for all devices or none; sysctl net.ipv6.conf.all.forwarding=1")
	}
	return nil
}

func (t *TUNs) warn(text string) {
	for _, w := range t.Warnings {
		if w == text {
			return
		}
	}
	t.Warnings = append(t.Warnings, text)
}

func writeSetting(key, value string) error {
	if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
		if errors.Is(err, unix.EROFS) {
			return fmt.Errorf("%w: setting %s: /proc/sys is read-only here; in a container, allow it to be written (--privileged): %w", ErrPrivilege, key, err)
		}
		return fmt.Errorf("setting %s to %s: %w", key, value, err)
	}
	return nil
}

// readSetting returns a setting of the kernel, or nothing if there is none.
func readSetting(key string) string {
	b, err := os.ReadFile("/proc/sys/" + key)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Close closes all files, and with the last the devices vanish.
func (t *TUNs) Close() error {
	var errs []error
	for _, pair := range t.files {
		for leg, fd := range pair {
			if err := unix.Close(fd); err != nil {
				errs = append(errs, fmt.Errorf("closing %s: %w", t.Names[leg], err))
			}
		}
	}
	t.files = nil
	return errors.Join(errs...)
}
