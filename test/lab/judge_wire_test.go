package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of the judge's own TCPs. No host has them, so that no kernel
// answers in their name; the gateway's neighbours are told where they are.
var (
	judgeClient4 = netip.MustParseAddr("10.1.0.88")
	judgeClient6 = netip.MustParseAddr("fd01::88")
	judgeServer4 = netip.MustParseAddr("10.2.0.88")
	judgeServer6 = netip.MustParseAddr("fd02::88")
)

// TCP flags, with those of RFC 3168 and the reserved one that was NS.
const (
	fFIN = 1 << iota
	fSYN
	fRST
	fPSH
	fACK
	fURG
	fECE
	fCWR
	fNS
)

const flagLetters = "FSRP.UEWN"

func flagNames(flags int) string {
	var b strings.Builder
	for i, c := range flagLetters {
		if flags&(1<<i) != 0 {
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

// judgeHost is a raw place on one end of the lab: what is sent there to one
// of the judge's addresses is read whole, and whatever is written leaves.
type judgeHost struct {
	fd       int
	device   int
	own      net.HardwareAddr
	gate     net.HardwareAddr
	mu       sync.Mutex
	legs     map[[2]netip.AddrPort]*judgeLeg // by own and peer's address
	closing  atomic.Bool
	done     chan struct{}
	readErr  error
	released sync.Once
}

// newJudgeHost opens the raw place of a namespace. gateway is its device
// there, whose neighbours learn of the addresses.
func newJudgeHost(t testing.TB, l *Lab, n *Namespace, lan string, own, gate string, four, six netip.Addr) *judgeHost {
	t.Helper()
	for _, a := range []netip.Addr{four, six} {
		l.Gateway.Run("ip", "neigh", "replace", a.String(), "dev", lan, "lladdr", own)
	}
	h := &judgeHost{legs: map[[2]netip.AddrPort]*judgeLeg{}, done: make(chan struct{})}
	h.own, _ = net.ParseMAC(own)
	h.gate, _ = net.ParseMAC(gate)
	err := n.In(func() (err error) {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		h.device = i.Index
		h.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		return unix.Bind(h.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index})
	})
	if err != nil {
		t.Fatalf("open a packet socket in %s: %v", n.Name, err)
	}
	_ = unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	_ = unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	_ = unix.SetsockoptTimeval(h.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	go h.read()
	t.Cleanup(func() { h.close(t) })
	return h
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// close ends the reading. A judge that has missed packets has judged nothing.
func (h *judgeHost) close(t testing.TB) {
	t.Helper()
	h.released.Do(func() {
		h.closing.Store(true)
		<-h.done
		if s, err := unix.GetsockoptTpacketStats(h.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil && s.Drops > 0 {
			t.Errorf("the judge has missed %d packets", s.Drops)
		}
		_ = unix.Close(h.fd)
		if h.readErr != nil {
			t.Errorf("the judge reads: %v", h.readErr)
		}
	})
}

func (h *judgeHost) read() {
	defer close(h.done)
	frame, control := make([]byte, 1<<17), make([]byte, 256)
	for !h.closing.Load() {
		n, oobn, _, from, err := unix.Recvmsg(h.fd, frame, control, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if err != nil {
			h.readErr = err
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING || n < 14 {
			continue
		}
		h.heard(readTime(control[:oobn]), frame[:n])
	}
}

// readTime is when the kernel got the packet.
func readTime(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err == nil {
		for _, m := range messages {
			if m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now().Round(0)
}

// heard gives a frame to the leg that it is for.
func (h *judgeHost) heard(at time.Time, frame []byte) {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP, unix.ETH_P_IPV6:
	default:
		return
	}
	s := judgeDecode(append([]byte(nil), frame[14:]...))
	if s == nil {
		return
	}
	s.at = at
	h.mu.Lock()
	leg := h.legs[[2]netip.AddrPort{s.dst, s.src}]
	h.mu.Unlock()
	if leg != nil {
		leg.hear(s)
	}
}

func (h *judgeHost) add(l *judgeLeg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.legs[[2]netip.AddrPort{l.own, l.peer}] = l
}

func (h *judgeHost) remove(l *judgeLeg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.legs, [2]netip.AddrPort{l.own, l.peer})
}

// write sends an IP packet towards the gateway.
func (h *judgeHost) write(packet []byte) error {
	kind := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
	}
	frame := make([]byte, 14, 14+len(packet))
	copy(frame, h.gate)
	copy(frame[6:], h.own)
	binary.BigEndian.PutUint16(frame[12:], kind)
	frame = append(frame, packet...)
	return unix.Sendto(h.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: h.device, Protocol: htons(kind)})
}

// judgeSegment is a segment, or an ICMP error, as the judge has read it.
type judgeSegment struct {
	at       time.Time
	src, dst netip.AddrPort
	flags    int
	seq, ack uint32
	win, urg uint16
	options  []judgeOption
	data     []byte
	ttl, tos uint8
	icmp     bool
	kind     uint8 // of ICMP
	code     uint8
	repeated bool     // it was heard before
	wrong    []string // what no RFC would allow, whatever it answers
}

type judgeOption struct {
	kind byte
	data []byte
}

const (
	optEOL    = 0
	optNOP    = 1
	optMSS    = 2
	optScale  = 3
	optSACKOK = 4
	optSACK   = 5
	optTS     = 8
)

// option returns the octets of an option.
func (s *judgeSegment) option(kind byte) ([]byte, bool) {
	for _, o := range s.options {
		if o.kind == kind {
			return o.data, true
		}
	}
	return nil, false
}

// len is what it takes of the sequence space.
func (s *judgeSegment) len() uint32 {
	n := uint32(len(s.data))
	if s.flags&fSYN != 0 {
		n++
	}
	if s.flags&fFIN != 0 {
		n++
	}
	return n
}

// judgeDecode reads an IP packet. It verifies what can be verified of a packet
// alone; what is neither TCP nor an ICMP error is nil.
func judgeDecode(b []byte) *judgeSegment {
	s := &judgeSegment{}
	complain := func(format string, args ...any) { s.wrong = append(s.wrong, fmt.Sprintf(format, args...)) }
	var protocol byte
	var src, dst netip.Addr
	var addresses, rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || total < header || total > len(b) {
			return nil
		}
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		if internetSum(0, b[:header]) != 0 {
			complain("the IP header's checksum is wrong")
		}
		fragment := binary.BigEndian.Uint16(b[6:])
		if fragment&0x3fff != 0 {
			complain("it is a fragment")
		}
		if fragment&0x4000 == 0 {
			complain("DF is not set: path MTU discovery needs it")
		}
		if header != 20 {
			complain("it has IP options")
		}
		protocol, s.tos, s.ttl, addresses, rest = b[9], b[1], b[8], b[12:20], b[header:total]
	case len(b) >= 40 && b[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return nil
		}
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		protocol, s.tos, s.ttl, addresses, rest = b[6], b[0]<<4|b[1]>>4, b[7], b[8:40], b[40:total]
	default:
		return nil
	}
	s.src, s.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	switch protocol {
	case unix.IPPROTO_TCP:
		return s.decodeTCP(addresses, rest, complain)
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return s.decodeICMP(rest)
	}
	return nil
}

func (s *judgeSegment) decodeTCP(addresses, b []byte, complain func(string, ...any)) *judgeSegment {
	if len(b) < 20 {
		return nil
	}
	s.src = netip.AddrPortFrom(s.src.Addr(), binary.BigEndian.Uint16(b))
	s.dst = netip.AddrPortFrom(s.dst.Addr(), binary.BigEndian.Uint16(b[2:]))
	s.seq, s.ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	s.flags = int(b[12]&1)<<8 | int(b[13])
	s.win, s.urg = binary.BigEndian.Uint16(b[14:]), binary.BigEndian.Uint16(b[18:])
	if internetSum(uint32(unix.IPPROTO_TCP)+uint32(len(b))+addends(addresses), b) != 0 {
		complain("the TCP checksum is wrong")
	}
	if b[12]&0xf != 0 {
		complain("reserved bits are set")
	}
	header := int(b[12]>>4) * 4
	if header < 20 || header > len(b) {
		complain("the data offset is %d", header)
		return s
	}
	s.data = b[header:]
	for o := b[20:header]; len(o) > 0; {
		switch {
		case o[0] == optEOL:
			for _, x := range o {
				if x != 0 {
					complain("padding is not zero")
				}
			}
			return s
		case o[0] == optNOP:
			o = o[1:]
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			complain("malformed options %x", o)
			return s
		default:
			s.options = append(s.options, judgeOption{o[0], o[2:o[1]]})
			o = o[o[1]:]
		}
	}
	return s
}

// decodeICMP reads an error and whose segment it is about: the error is for
// the leg that has sent what is quoted.
func (s *judgeSegment) decodeICMP(b []byte) *judgeSegment {
	quoted := b[min(8, len(b)):]
	switch {
	case len(quoted) >= 28 && quoted[0]>>4 == 4 && (b[0] == 3 || b[0] == 11 || b[0] == 12):
		quoted = quoted[int(quoted[0]&15)*4:]
		s.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[8+12:])), 0)
		s.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[8+16:])), 0)
	case len(quoted) >= 48 && quoted[0]>>4 == 6 && b[0] < 128:
		quoted = quoted[40:]
		s.dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8+8:])), 0)
		s.src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8+24:])), 0)
	default:
		return nil
	}
	if len(quoted) < 8 {
		return nil
	}
	s.dst = netip.AddrPortFrom(s.dst.Addr(), binary.BigEndian.Uint16(quoted))
	s.src = netip.AddrPortFrom(s.src.Addr(), binary.BigEndian.Uint16(quoted[2:]))
	s.seq = binary.BigEndian.Uint32(quoted[4:])
	s.icmp, s.kind, s.code = true, b[0], b[1]
	return s
}

func addends(b []byte) uint32 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	return sum
}

// internetSum is the checksum of b; over one that contains its own it is 0.
func internetSum(initial uint32, b []byte) uint16 {
	sum := uint64(initial)
	for len(b) > 1<<15 {
		sum += uint64(addends(b[:1<<15]))
		b = b[1<<15:]
	}
	sum += uint64(addends(b))
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// judgePacket is an IP packet to be made, honest or not.
type judgePacket struct {
	src, dst  netip.AddrPort
	flags     int
	seq, ack  uint32
	win, urg  uint16
	options   []byte // padded to whole words when it is made
	data      []byte
	tos       uint8
	badSum    bool
	offset    int    // in words; 0: the right one
	reserved  byte   // the reserved bits of octet 12
	ipOptions []byte // IPv4 options, or an IPv6 destination options header
	ttl       uint8  // 0: 64
}

func (p *judgePacket) bytes() []byte {
	options := append([]byte(nil), p.options...)
	for len(options)%4 != 0 {
		options = append(options, optNOP)
	}
	tcp := make([]byte, 20, 20+len(options)+len(p.data))
	binary.BigEndian.PutUint16(tcp, p.src.Port())
	binary.BigEndian.PutUint16(tcp[2:], p.dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], p.seq)
	binary.BigEndian.PutUint32(tcp[8:], p.ack)
	offset := p.offset
	if offset == 0 {
		offset = 5 + len(options)/4
	}
	tcp[12] = byte(offset)<<4 | p.reserved&0xe | byte(p.flags>>8&1)
	tcp[13] = byte(p.flags)
	binary.BigEndian.PutUint16(tcp[14:], p.win)
	binary.BigEndian.PutUint16(tcp[18:], p.urg)
	tcp = append(append(tcp, options...), p.data...)
	from, to := p.src.Addr().AsSlice(), p.dst.Addr().AsSlice()
	sum := internetSum(uint32(unix.IPPROTO_TCP)+uint32(len(tcp))+addends(from)+addends(to), tcp)
	if p.badSum {
		sum ^= 0x0404
	}
	binary.BigEndian.PutUint16(tcp[16:], sum)
	return judgeIP(p, unix.IPPROTO_TCP, tcp)
}

// judgeIP puts an IP header before what it carries.
func judgeIP(p *judgePacket, protocol byte, carried []byte) []byte {
	ttl := p.ttl
	if ttl == 0 {
		ttl = 64
	}
	if p.src.Addr().Is4() {
		ip := make([]byte, 20, 20+len(p.ipOptions)+len(carried))
		ip[0] = 0x45 + byte(len(p.ipOptions)/4)
		ip[1] = p.tos
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(p.ipOptions)+len(carried)))
		binary.BigEndian.PutUint16(ip[6:], 0x4000)
		ip[8], ip[9] = ttl, protocol
		copy(ip[12:], p.src.Addr().AsSlice())
		copy(ip[16:], p.dst.Addr().AsSlice())
		ip = append(ip, p.ipOptions...)
		binary.BigEndian.PutUint16(ip[10:], internetSum(0, ip))
		return append(ip, carried...)
	}
	ip := make([]byte, 40, 40+len(p.ipOptions)+len(carried))
	ip[0], ip[1] = 0x60|p.tos>>4, p.tos<<4
	binary.BigEndian.PutUint16(ip[4:], uint16(len(p.ipOptions)+len(carried)))
	ip[6], ip[7] = protocol, ttl
	copy(ip[8:], p.src.Addr().AsSlice())
	copy(ip[24:], p.dst.Addr().AsSlice())
	if len(p.ipOptions) > 0 {
		ip[6] = unix.IPPROTO_DSTOPTS
		extension := append([]byte(nil), p.ipOptions...)
		extension[0] = protocol
		ip = append(ip, extension...)
	}
	return append(ip, carried...)
}
