package nfq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tcpmitm/endpoint"
)

// A connection of the host with itself never leaves the loopback device, and
// what we send to its ends has to arrive there: the kernel drops a packet
// with the address ::1 that comes from any other device, programs may have
// bound their sockets to it, and the host's firewall knows it by its name. So
// these packets are written to packet sockets on the loopback device. What
// they send arrives as if the host had sent it to itself, by PREROUTING and
// INPUT; OUTPUT and POSTROUTING, where packets of the loopback device are
// taken, it never passes.

const (
	// loopbackIndex is the loopback device's in every network namespace
	// (LOOPBACK_IFINDEX).
	loopbackIndex = 1
	// etherHeaderLen is the length of the link header, in octets. On the
	// loopback device all addresses in it are zero.
	etherHeaderLen = 14
	etherTypeAt    = 12
)

// loopbackSettings let the kernel take packets with loopback addresses, and
// with its own ones, that come without the route which packets of its own
// bring along. They matter to nobody else: on the loopback device there are
// only the host's own packets, with their routes.
var loopbackSettings = []string{"accept_local", "route_localnet"}

const loopbackFolder = "net/ipv4/conf/lo/"

// Loopback is the way back into the host for connections of the host with
// itself: two packet sockets a shard, on the loopback device.
type Loopback struct {
	// SwitchedOn names the settings of the loopback device that were off.
	SwitchedOn []string

	fds [][2]int // by shard and leg
}

// OpenLoopback opens the sockets, in the network namespace of the calling
// thread. What is sent to clients carries the mark, by which the firewall's
// rules tell it: conntrack is to know the connection to the server only.
func OpenLoopback(shards int, mark uint32) (*Loopback, error) {
	if shards < 1 || shards > maxQueues {
		return nil, fmt.Errorf("%d shards: want 1 to %d", shards, maxQueues)
	}
	l := &Loopback{}
	for range shards {
		pair := [2]int{-1, -1}
		for leg := range pair {
			fd, err := openPacketSocket(leg == int(endpoint.Client), mark)
			if err != nil {
				if pair[0] >= 0 {
					unix.Close(pair[0])
				}
				return nil, errors.Join(err, l.Close())
			}
			pair[leg] = fd
		}
		l.fds = append(l.fds, pair)
	}
	for _, key := range loopbackSettings {
		if readSetting(loopbackFolder+key) != "0" {
			continue
		}
		if err := writeSetting(loopbackFolder+key, "1"); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.SwitchedOn = append(l.SwitchedOn, key)
	}
	return l, nil
}

func openPacketSocket(marked bool, mark uint32) (int, error) {
	// Without a protocol it sends and receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return -1, fmt.Errorf(`%w: opening a packet socket: run as root or with CAP_NET_RAW, or leave connections of the host with itself alone (loopback = "never" in [intercept]): %w`, ErrPrivilege, err)
		}
		return -1, fmt.Errorf(`opening a packet socket (CONFIG_PACKET; loopback = "never" in [intercept] does without): %w`, err)
	}
	fail := func(what string, err error) (int, error) {
		unix.Close(fd)
		return -1, fmt.Errorf("%s a packet socket on the loopback device: %w", what, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: loopbackIndex}); err != nil {
		return fail("binding", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fail("setting the offloads of", err)
	}
	if marked {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
			return fail("marking", err)
		}
	}
	return fd, nil
}

// Close closes the sockets and gives the loopback device its settings back.
func (l *Loopback) Close() error {
	if l == nil {
		return nil
	}
	var errs []error
	for _, pair := range l.fds {
		for _, fd := range pair {
			if err := unix.Close(fd); err != nil {
				errs = append(errs, fmt.Errorf("closing a packet socket: %w", err))
			}
		}
	}
	errs = append(errs, SwitchOff(l.SwitchedOn))
	l.fds, l.SwitchedOn = nil, nil
	return errors.Join(errs...)
}

// SwitchOff switches settings of the loopback device off that a Loopback has
// switched on, in the network namespace of the calling thread.
func SwitchOff(settings []string) error {
	var errs []error
	for _, key := range settings {
		if !slices.Contains(loopbackSettings, key) {
			errs = append(errs, fmt.Errorf("%q is no setting of ours of the loopback device: want one of %q", key, loopbackSettings))
			continue
		}
		errs = append(errs, writeSetting(loopbackFolder+key, "0"))
	}
	return errors.Join(errs...)
}

// linkHeader is what stands before the IP header of a packet on the loopback
// device: the header for the offloads and an Ethernet header.
type linkHeader [vnetHeaderLen + etherHeaderLen]byte

// put makes the header of a packet out of the one that the TUN driver would
// get: there nothing stands between it and the IP header.
func (h *linkHeader) put(vnet []byte, v6 bool) {
	copy(h[:], vnet)
	add := func(b []byte, n uint16) { binary.NativeEndian.PutUint16(b, binary.NativeEndian.Uint16(b)+n) }
	add(h[2:], etherHeaderLen) // headerLen
	if h[0]&vnetNeedsChecksum != 0 {
		add(h[6:], etherHeaderLen) // checksumStart
	}
	kind := uint16(unix.ETH_P_IP)
	if v6 {
		kind = unix.ETH_P_IPV6
	}
	binary.BigEndian.PutUint16(h[vnetHeaderLen+etherTypeAt:], kind)
}
