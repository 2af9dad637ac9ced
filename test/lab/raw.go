package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Packet makes an IP packet of a TCP header and payload, with its checksums.
func Packet(from, to netip.AddrPort, tcp *layers.TCP, data []byte) ([]byte, error) {
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(from.Port()), layers.TCPPort(to.Port())
	var ip gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	if from.Addr().Is4() {
		four := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP,
			SrcIP: net.IP(from.Addr().AsSlice()), DstIP: net.IP(to.Addr().AsSlice())}
		ip, network = four, four
	} else {
		six := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP,
			SrcIP: net.IP(from.Addr().AsSlice()), DstIP: net.IP(to.Addr().AsSlice())}
		ip, network = six, six
	}
	if err := tcp.SetNetworkLayerForChecksum(network); err != nil {
		return nil, err
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, ip, tcp, gopacket.Payload(data)); err != nil {
		return nil, fmt.Errorf("make a packet: %w", err)
	}
	return buffer.Bytes(), nil
}

// TCPOffset is where the TCP header of a packet made by Packet begins.
func TCPOffset(packet []byte) int {
	if packet[0]>>4 == 6 {
		return 40
	}
	return 20
}

// Resum corrects the TCP checksum of a packet made by Packet after it has been
// changed, so that the change is all that is wrong with it.
func Resum(packet []byte) {
	at := TCPOffset(packet)
	tcp := packet[at:]
	tcp[16], tcp[17] = 0, 0
	addresses := packet[12:20]
	if at == 40 {
		addresses = packet[8:40]
	}
	sum := uint32(unix.IPPROTO_TCP) + uint32(len(tcp))
	for _, part := range [][]byte{addresses, tcp} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(part[i]) << 8
			if i+1 < len(part) {
				sum += uint32(part[i+1])
			}
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	tcp[16], tcp[17] = byte(^sum>>8), byte(^sum)
}

// Inject sends a whole IP packet from the namespace, past its own TCP.
func (n *Namespace) Inject(to netip.Addr, packet []byte) error {
	return n.In(func() error {
		domain := unix.AF_INET
		var address unix.Sockaddr = &unix.SockaddrInet4{}
		if to.Is4() {
			address = &unix.SockaddrInet4{Addr: to.As4()}
		} else {
			domain, address = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.As16()}
		}
		s, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("open a raw socket in %s: %w", n.Name, err)
		}
		defer unix.Close(s)
		if err := unix.Sendto(s, packet, 0, address); err != nil {
			return fmt.Errorf("inject a packet of %d octets in %s: %w", len(packet), n.Name, err)
		}
		return nil
	})
}
