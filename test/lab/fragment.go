package lab

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	fragmentDevice = "frag0"
	ipv4Header     = 20
	ipv6Header     = 40
)

// Fragments makes the host send all packets of more than size octets of
// payload in fragments, to the gateway with that hardware address, with every
// second packet's fragments in the wrong order. Size is a multiple of 8.
//
// What the host sends is routed to a TUN device, which this process reads.
// What it receives comes in as ever.
func (n *Namespace) Fragments(gatewayMAC string, size int) {
	n.lab.t.Helper()
	tun := n.openTun(fragmentDevice, unix.IFF_TUN)
	n.batch("link set "+fragmentDevice+" up",
		fmt.Sprintf("route replace default dev %s src %v", fragmentDevice, n.address(IPv4)),
		fmt.Sprintf("route replace ::/0 dev %s src %v", fragmentDevice, n.address(IPv6)))
	wire := n.openPacket(clientDevice, unix.SOCK_DGRAM)
	var index int
	if err := n.In(func() (err error) { index, err = deviceIndex(clientDevice); return err }); err != nil {
		n.lab.t.Fatal(err)
	}
	var sent uint32
	change := func(packet []byte) [][]byte {
		sent++
		parts := Split(packet, size, sent)
		if sent%2 == 0 {
			for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
				parts[i], parts[j] = parts[j], parts[i]
			}
		}
		return parts
	}
	send := func(packet []byte) error {
		to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: index, Halen: 6, Addr: hardwareAddress(gatewayMAC)}
		if packet[0]>>4 == 6 {
			to.Protocol = networkOrder(unix.ETH_P_IPV6)
		}
		return unix.Sendto(wire, packet, 0, to)
	}
	go pump(func(b []byte) (int, error) { return unix.Read(tun, b) }, change, send)
	n.stopPumps(fragmentDevice, tun, wire)
}

// Split cuts an IP packet without options or extension headers into fragments
// of at most size octets of payload each (RFC 791, 3.2; RFC 8200, 4.5).
func Split(packet []byte, size int, id uint32) [][]byte {
	header := ipv4Header
	if packet[0]>>4 == 6 {
		header = ipv6Header
	}
	if len(packet)-header <= size {
		return [][]byte{packet}
	}
	var parts [][]byte
	for at := header; at < len(packet); at += size {
		end := min(at+size, len(packet))
		offset := uint16(at-header) / 8
		more := end < len(packet)
		if header == ipv6Header {
			parts = append(parts, fragment6(packet, at, end, offset, more, id))
		} else {
			parts = append(parts, fragment4(packet, at, end, offset, more, id))
		}
	}
	return parts
}

func fragment4(packet []byte, at, end int, offset uint16, more bool, id uint32) []byte {
	f := append([]byte(nil), packet[:ipv4Header]...)
	if more {
		offset |= 1 << 13
	}
	binary.BigEndian.PutUint16(f[2:], uint16(ipv4Header+end-at))
	binary.BigEndian.PutUint16(f[4:], uint16(id))
	binary.BigEndian.PutUint16(f[6:], offset)
	f[10], f[11] = 0, 0
	var sum uint32
	for i := 0; i < ipv4Header; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(f[10:], ^uint16(sum))
	return append(f, packet[at:end]...)
}

func fragment6(packet []byte, at, end int, offset uint16, more bool, id uint32) []byte {
	const header = 8
	f := append([]byte(nil), packet[:ipv6Header]...)
	binary.BigEndian.PutUint16(f[4:], uint16(header+end-at))
	f[6] = unix.IPPROTO_FRAGMENT
	offset <<= 3
	if more {
		offset |= 1
	}
	f = append(f, packet[6], 0)
	f = binary.BigEndian.AppendUint16(f, offset)
	f = binary.BigEndian.AppendUint32(f, id)
	return append(f, packet[at:end]...)
}
