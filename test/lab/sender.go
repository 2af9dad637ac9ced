package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sender sends frames from a namespace's device, past its IP and its TCP, many
// with one system call: what an attacker would send who has the link for
// himself. It belongs to one goroutine.
type Sender struct {
	Sent uint64 // frames that the device took

	fd      int
	n       int // frames that wait
	frames  [senderBurst][senderFrame]byte
	iovecs  [senderBurst]unix.Iovec
	headers [senderBurst]senderHeader
	ether   [14]byte // without its type
}

const (
	senderBurst = 256
	senderFrame = 14 + 40 + 60 + 512 // Ethernet, IPv6, the longest TCP header, and some data
)

// senderHeader is struct mmsghdr of sendmmsg(2).
type senderHeader struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// OpenSender opens a sender on a device of the namespace, to a neighbour.
func (n *Namespace) OpenSender(device, from, to string) (*Sender, error) {
	s := &Sender{fd: -1}
	for i, mac := range []string{to, from} {
		a, err := net.ParseMAC(mac)
		if err != nil {
			return nil, err
		}
		copy(s.ether[6*i:], a)
	}
	for i := range s.headers {
		s.iovecs[i].Base = &s.frames[i][0]
		s.headers[i].hdr.Iov = &s.iovecs[i]
		s.headers[i].hdr.Iovlen = 1
	}
	return s, n.In(func() error {
		i, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		// Protocol 0: it receives nothing.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open a packet socket in %s: %w", n.Name, err)
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20),
			unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index}))
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("bind a packet socket to %s in %s: %w", device, n.Name, err)
		}
		s.fd = fd
		return nil
	})
}

// Close closes the socket.
func (s *Sender) Close() { unix.Close(s.fd) }

// Next gives room for the next IP packet of a family, and sends what waits if
// there is none.
func (s *Sender) Next(f Family) ([]byte, error) {
	if s.n == senderBurst {
		if err := s.Flush(); err != nil {
			return nil, err
		}
	}
	frame := &s.frames[s.n]
	copy(frame[:], s.ether[:12])
	kind := uint16(unix.ETH_P_IP)
	if f == IPv6 {
		kind = unix.ETH_P_IPV6
	}
	binary.BigEndian.PutUint16(frame[12:], kind)
	return frame[14:], nil
}

// Add takes the packet of n octets that Next had room for.
func (s *Sender) Add(n int) {
	s.iovecs[s.n].SetLen(14 + n)
	s.n++
}

// Flush sends what waits.
func (s *Sender) Flush() error {
	for at := 0; at < s.n; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.headers[at])), uintptr(s.n-at), 0, 0, 0)
		switch errno {
		case 0:
			at += int(n)
			s.Sent += uint64(n)
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
			at++ // the device is full: lost, as on any wire
		default:
			s.n = 0
			return fmt.Errorf("send frames: %w", errno)
		}
	}
	s.n = 0
	return nil
}

// PutIP writes an IP header for a payload of n octets and returns how long it
// is.
func PutIP(b []byte, from, to netip.Addr, protocol byte, n int) int {
	if to.Is4() {
		clear(b[:20])
		b[0], b[8], b[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(b[2:], uint16(20+n))
		src, dst := from.As4(), to.As4()
		copy(b[12:], src[:])
		copy(b[16:], dst[:])
		binary.BigEndian.PutUint16(b[10:], ^fold16(sum16(0, b[:20])))
		return 20
	}
	clear(b[:40])
	b[0], b[6], b[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	src, dst := from.As16(), to.As16()
	copy(b[8:], src[:])
	copy(b[24:], dst[:])
	return 40
}

// SumPayload writes the checksum of the n octets behind the IP header, of TCP
// or ICMP, at a place counted from there.
func SumPayload(b []byte, header, n, at int) {
	binary.BigEndian.PutUint16(b[header+at:], 0)
	protocol, addresses := uint32(b[9]), b[12:20]
	if header == 40 {
		protocol, addresses = uint32(b[6]), b[8:40]
	}
	s := uint32(0)
	if protocol != unix.IPPROTO_ICMP { // the ICMP of IPv4 alone has no pseudo-header
		s = sum16(protocol+uint32(n), addresses)
	}
	binary.BigEndian.PutUint16(b[header+at:], ^fold16(sum16(s, b[header:header+n])))
}

func sum16(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold16(s uint32) uint16 {
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
