package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Parts of hosts that the kernel under the lab may not have, or never has,
// are made in this process: a device that it reads and writes, and a packet
// socket on a real one.

const wireBuffer = 1 << 16 // octets, at least of one packet

// openTun makes a TUN or TAP device in the namespace, which lives as long as
// its file.
func (n *Namespace) openTun(name string, kind uint16) int {
	n.lab.t.Helper()
	fd := -1
	err := n.In(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(kind | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	})
	if err != nil {
		n.lab.t.Fatalf("make device %s in %s: %v", name, n.Name, err)
	}
	return fd
}

// openPacket opens a packet socket on a device of the namespace.
func (n *Namespace) openPacket(device string, kind int) int {
	n.lab.t.Helper()
	s := -1
	err := n.In(func() error {
		index, err := deviceIndex(device)
		if err != nil {
			return err
		}
		if s, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return err
		}
		return unix.Bind(s, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
	})
	if err != nil {
		n.lab.t.Fatalf("packet socket on %s in %s: %v", device, n.Name, err)
	}
	return s
}

func networkOrder(x uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, x))
}

// pump copies packets from one descriptor to another, through change, until
// one of them is closed or its device is gone.
func pump(receive func(b []byte) (int, error), change func(packet []byte) [][]byte, send func(packet []byte) error) {
	b := make([]byte, wireBuffer)
	for {
		n, err := receive(b)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		default:
			return
		}
		for _, packet := range change(b[:n]) {
			_ = send(packet) // what does not fit is lost, as on any wire
		}
	}
}

// stopPumps closes descriptors when the test ends. A reader that sleeps keeps
// its file open, so the device goes first.
func (n *Namespace) stopPumps(device string, fds ...int) {
	n.lab.t.Cleanup(func() {
		if out, err := n.Try("ip", "link", "delete", device); err != nil {
			n.lab.t.Errorf("delete %s in %s: %v\n%s", device, n.Name, err, out)
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
}

// hardwareAddress parses an address of the lab's own.
func hardwareAddress(text string) (a [8]byte) {
	mac, err := net.ParseMAC(text)
	if err != nil {
		panic(fmt.Sprintf("hardware address %q: %v", text, err))
	}
	copy(a[:], mac)
	return a
}

func deviceIndex(name string) (int, error) {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return dev.Index, nil
}

// address is the host's own, if it is the client or the server.
func (n *Namespace) address(f Family) netip.Addr {
	if n == n.lab.Client {
		return f.Client()
	}
	return f.Server()
}
