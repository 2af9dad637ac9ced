package lab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

const (
	captureReady = 10 * time.Second       // within which tcpdump must listen
	captureDrain = 150 * time.Millisecond // what is on the wire gets to reach the file
	frameLimit   = 2_000_000              // frames read from one capture
)

// Capture is a running tcpdump.
type Capture struct {
	File string

	lab     *Lab
	process *Process
	stopped bool
}

// Frame is one captured packet, TCP or ICMP.
type Frame struct {
	At         time.Time
	Src, Dst   netip.AddrPort // ICMP: port 0
	SYN, ACK   bool
	FIN, RST   bool
	PSH, URG   bool
	ECE, CWR   bool
	TTL, TOS   uint8 // hop limit and traffic class of IPv6
	Urgent     uint16
	Seq, Ack   uint32
	Window     uint16
	Len        int // octets of payload
	MSS        int // 0: no such option
	Scale      int // -1: no such option
	SACKOK     bool
	Timestamps bool
	ICMP       bool
	Type, Code uint8  // of ICMP
	About      uint16 // the port of the destination that an ICMP error of IPv4 quotes
}

func (f *Frame) String() string {
	if f.ICMP {
		return fmt.Sprintf("%s %v > %v icmp %d/%d", f.At.Format("05.000000"), f.Src, f.Dst, f.Type, f.Code)
	}
	var flags strings.Builder
	for _, x := range []struct {
		set  bool
		name string
	}{{f.SYN, "S"}, {f.FIN, "F"}, {f.RST, "R"}, {f.ACK, "."}} {
		if x.set {
			flags.WriteString(x.name)
		}
	}
	return fmt.Sprintf("%s %v > %v [%s] seq %d ack %d win %d len %d",
		f.At.Format("05.000000"), f.Src, f.Dst, flags.String(), f.Seq, f.Ack, f.Window, f.Len)
}

// Capture begins to record what passes a device of the namespace, and returns
// when the recording has begun.
func (n *Namespace) Capture(device string, filter ...string) *Capture {
	n.lab.t.Helper()
	file, err := os.CreateTemp(n.lab.scratch, "capture-*.pcap")
	if err != nil {
		n.lab.t.Fatal(err)
	}
	_ = file.Close()
	args := []string{"-i", device, "-n", "-U", "--immediate-mode", "-B", "65536", "-s", "0", "-Z", "root", "-w", file.Name()}
	p := n.Start("tcpdump", append(args, filter...)...)
	if err := p.WaitOutput("listening on", captureReady); err != nil {
		n.lab.t.Fatal(err)
	}
	return &Capture{File: file.Name(), lab: n.lab, process: p}
}

// Stop ends the recording. It fails the test if tcpdump missed packets: a
// proof by capture is worth nothing then.
func (c *Capture) Stop() {
	c.lab.t.Helper()
	if c.stopped {
		return
	}
	c.stop()
	if out := c.process.Output(); !strings.Contains(out, "\n0 packets dropped by kernel") {
		c.lab.t.Fatalf("the capture is not complete:\n%s", out)
	}
}

// stop ends the recording, complete or not.
func (c *Capture) stop() {
	c.lab.t.Helper()
	if c.stopped {
		return
	}
	c.stopped = true
	time.Sleep(captureDrain)
	if err := c.process.Signal(syscall.SIGINT); err != nil {
		c.lab.t.Fatalf("stop tcpdump: %v", err)
	}
	if _, err := c.process.Wait(captureReady); err != nil {
		c.lab.t.Fatal(err)
	}
}

// Frames stops the recording and returns what it has.
func (c *Capture) Frames() []Frame {
	c.lab.t.Helper()
	c.Stop()
	return c.read()
}

// Sofar returns what has been recorded while the recording goes on.
func (c *Capture) Sofar() []Frame {
	c.lab.t.Helper()
	time.Sleep(captureDrain)
	return c.read()
}

func (c *Capture) read() []Frame {
	c.lab.t.Helper()
	file, err := os.Open(c.File)
	if err != nil {
		c.lab.t.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewReader(file)
	if err != nil {
		c.lab.t.Fatalf("read capture %s: %v", c.File, err)
	}
	var frames []Frame
	for len(frames) < frameLimit {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break // a recording that goes on may end within a packet
		}
		if err != nil {
			c.lab.t.Fatalf("read capture %s: %v", c.File, err)
		}
		if f, ok := decode(data, r.LinkType()); ok {
			f.At = info.Timestamp
			frames = append(frames, f)
		}
	}
	return frames
}

var received = regexp.MustCompile(`(?m)^(\d+) packets? received by filter`)

// Count stops the recording and returns how many packets met its filter, of
// any kind, those included that tcpdump was too slow to write down.
func (c *Capture) Count() int {
	c.lab.t.Helper()
	c.stop()
	m := received.FindStringSubmatch(c.process.Output())
	if m == nil {
		c.lab.t.Fatalf("tcpdump does not say what it received:\n%s", c.process.Output())
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		c.lab.t.Fatal(err)
	}
	return n
}

func decode(data []byte, link layers.LinkType) (Frame, bool) {
	packet := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	var f Frame
	var src, dst netip.Addr
	total := 0 // octets after the IP header
	if ip, ok := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		src, _ = netip.AddrFromSlice(ip.SrcIP.To4())
		dst, _ = netip.AddrFromSlice(ip.DstIP.To4())
		total = len(ip.Payload)
		f.TTL, f.TOS = ip.TTL, ip.TOS
	} else if ip, ok := packet.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ok {
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		total = len(ip.Payload)
		f.TTL, f.TOS = ip.HopLimit, ip.TrafficClass
	} else {
		return f, false
	}
	f.Src, f.Dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	if icmp, ok := packet.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		f.ICMP, f.Type, f.Code = true, icmp.TypeCode.Type(), icmp.TypeCode.Code()
		f.About = quotedPort(icmp.Payload)
		return f, true
	}
	if icmp, ok := packet.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		f.ICMP, f.Type, f.Code = true, icmp.TypeCode.Type(), icmp.TypeCode.Code()
		return f, true
	}
	tcp, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		return f, false
	}
	f.tcp(tcp, src, dst, total)
	return f, true
}

// quotedPort is the port to which the packet went that an ICMP error quotes; 0
// if it says none.
func quotedPort(ip []byte) uint16 {
	if len(ip) == 0 {
		return 0
	}
	at := int(ip[0]&0xf) * 4
	if ip[0]>>4 != 4 || len(ip) < at+4 {
		return 0
	}
	return uint16(ip[at+2])<<8 | uint16(ip[at+3])
}

func (f *Frame) tcp(tcp *layers.TCP, src, dst netip.Addr, total int) {
	f.Src = netip.AddrPortFrom(src, uint16(tcp.SrcPort))
	f.Dst = netip.AddrPortFrom(dst, uint16(tcp.DstPort))
	f.SYN, f.ACK, f.FIN, f.RST = tcp.SYN, tcp.ACK, tcp.FIN, tcp.RST
	f.PSH, f.URG, f.Urgent = tcp.PSH, tcp.URG, tcp.Urgent
	f.ECE, f.CWR = tcp.ECE, tcp.CWR
	f.Seq, f.Ack, f.Window = tcp.Seq, tcp.Ack, tcp.Window
	f.Len = total - int(tcp.DataOffset)*4
	f.Scale = -1
	for _, o := range tcp.Options {
		switch {
		case o.OptionType == layers.TCPOptionKindMSS && len(o.OptionData) == 2:
			f.MSS = int(o.OptionData[0])<<8 | int(o.OptionData[1])
		case o.OptionType == layers.TCPOptionKindWindowScale && len(o.OptionData) == 1:
			f.Scale = int(o.OptionData[0])
		case o.OptionType == layers.TCPOptionKindSACKPermitted:
			f.SACKOK = true
		case o.OptionType == layers.TCPOptionKindTimestamps:
			f.Timestamps = true
		}
	}
}

// Select returns the frames that fit.
func Select(frames []Frame, fit func(*Frame) bool) []Frame {
	var out []Frame
	for i := range frames {
		if fit(&frames[i]) {
			out = append(out, frames[i])
		}
	}
	return out
}

// Dump renders the first and last frames, for the text of a failure.
func Dump(frames []Frame) string {
	const each = 40
	var b strings.Builder
	for i := range frames {
		if i == each && len(frames) > 2*each {
			fmt.Fprintf(&b, "  [... %d frames ...]\n", len(frames)-2*each)
		}
		if i < each || i >= len(frames)-each {
			fmt.Fprintf(&b, "  %s\n", frames[i].String())
		}
	}
	return b.String()
}

// Tshark counts the frames of a stopped capture that a display filter of
// Wireshark's takes, with checksums verified.
func (c *Capture) Tshark(filter string) []string {
	c.lab.t.Helper()
	c.Stop()
	out, err := runHost("tshark", "-r", c.File, "-n", "-o", "tcp.check_checksum:TRUE",
		"-o", "ip.check_checksum:TRUE", "-Y", filter)
	if err != nil {
		c.lab.t.Fatalf("tshark: %v\n%s", err, tail(out))
	}
	var lines []string
	for line := range strings.Lines(out) {
		// A frame begins with its number. Other lines are remarks: about root,
		// or about a dissector that took our ports for a protocol of its own.
		if line = strings.TrimSpace(line); line != "" && line[0] >= '0' && line[0] <= '9' {
			lines = append(lines, line)
		}
	}
	return lines
}
