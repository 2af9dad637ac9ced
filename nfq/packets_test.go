package nfq

import (
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// syntheticPacket makes a TCP packet with gopacket, which shares no code
// with us. A change may alter any layer before the packet is put together.
func syntheticPacket(t testing.TB, src, dst string, srcPort, dstPort uint16, change func(ip4 *layers.IPv4, ip6 *layers.IPv6, tcp *layers.TCP), payload ...byte) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(srcPort), DstPort: layers.TCPPort(dstPort), Seq: 1000, Ack: 2000, ACK: true, Window: 512}
	var ip gopacket.SerializableLayer
	var ip4 *layers.IPv4
	var ip6 *layers.IPv6
	if a := net.ParseIP(src).To4(); a != nil {
		ip4 = &layers.IPv4{Version: 4, TTL: 60, Protocol: layers.IPProtocolTCP, SrcIP: a, DstIP: net.ParseIP(dst).To4(), TOS: 46<<2 | 2}
		ip = ip4
	} else {
		ip6 = &layers.IPv6{Version: 6, HopLimit: 60, NextHeader: layers.IPProtocolTCP, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst), TrafficClass: 46<<2 | 2}
		ip = ip6
	}
	if change != nil {
		change(ip4, ip6, tcp)
	}
	if ip4 != nil {
		tcp.SetNetworkLayerForChecksum(ip4)
	} else {
		tcp.SetNetworkLayerForChecksum(ip6)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ip, tcp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
