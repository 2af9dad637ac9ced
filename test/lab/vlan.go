package lab

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	etherHeader = 14 // octets of an Ethernet header
	etherTypeAt = 12
	// auxVLAN are the octets of tpacket_auxdata that matter here: status at
	// 0, tag control information at 16 (linux/if_packet.h).
	auxTag = 16
)

// VLAN adds a device that carries the frames of one VLAN on another device
// (IEEE 802.1Q). Where the kernel has VLAN devices it is one of those;
// otherwise it is a TAP device whose frames this process tags.
func (n *Namespace) VLAN(trunk, name string, id uint16) {
	n.lab.t.Helper()
	if _, err := n.Try("ip", "link", "add", "link", trunk, "name", name, "type", "vlan", "id", fmt.Sprint(id)); err == nil {
		n.batch("link set " + name + " up")
		return
	}
	tap := n.openTun(name, unix.IFF_TAP)
	wire := n.openPacket(trunk, unix.SOCK_RAW)
	// Frames come from the TAP device at most as long as its MTU says.
	n.batch("link set " + name + " up")
	tag := func(frame []byte) [][]byte {
		if len(frame) < etherHeader {
			return nil
		}
		out := append([]byte(nil), frame[:etherTypeAt]...)
		out = binary.BigEndian.AppendUint16(out, unix.ETH_P_8021Q)
		out = binary.BigEndian.AppendUint16(out, id)
		return [][]byte{append(out, frame[etherTypeAt:]...)}
	}
	go pump(func(b []byte) (int, error) { return unix.Read(tap, b) }, tag,
		func(frame []byte) error { _, err := unix.Write(wire, frame); return err })
	go pump(func(b []byte) (int, error) { return receiveTagged(wire, b, id) },
		func(frame []byte) [][]byte {
			if len(frame) == 0 {
				return nil
			}
			return [][]byte{frame}
		},
		func(frame []byte) error { _, err := unix.Write(tap, frame); return err })
	n.stopPumps(name, tap, wire)
}

// receiveTagged receives a frame of one VLAN, without its tag, which the
// kernel has put beside the frame. Of any other frame it returns nothing.
func receiveTagged(socket int, b []byte, id uint16) (int, error) {
	aux := make([]byte, unix.CmsgSpace(auxTag+4))
	n, an, _, from, err := unix.Recvmsg(socket, b, aux, 0)
	if err != nil {
		return 0, err
	}
	if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
		return 0, nil
	}
	messages, err := unix.ParseSocketControlMessage(aux[:an])
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= auxTag+2 &&
			binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 && binary.NativeEndian.Uint16(m.Data[auxTag:])&0xfff == id {
			return n, nil
		}
	}
	return 0, nil
}
