package lab

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A play is a list of steps, one a line. c and s are the judge's own TCPs as
// client and as server, k is a real socket of the kernel's on the other end.
//
//	c> S 0 win 65535 <mss 1460,ts,ws 7>   send; numbers count from the ISNs
//	c< S. 0 ack 1 win >=1000 <mss *>      the next segment must be like this
//	c> P. 1:101 ack 1                     100 octets of text
//	c< none 200ms                         nothing comes for so long
//	c< . 1 ack 101 within 400ms           not later; after 200ms: not earlier
//	wait 100ms
//	open C=<...> S=<...>                  both handshakes, c and s
//	k listen | accept | dial | read 1:101 | write 1:101 | eof | reset | shut | close
//
// Numbers: edge is the right edge that the gateway has told, nxt what it has
// acknowledged, end beyond the last that it has sent; each with +n or -n.
// Text is a pattern that says of each octet where it belongs. A send without
// <> bears timestamps if they were negotiated. Retransmissions are passed
// over unless a step says again. Marks of a send: !sum (a wrong checksum),
// !off=4 (data offset), !res=2 (reserved bits), !ipopt, tos n, ttl n.
type play struct {
	name  string
	steps string
	port  uint16       // of the server, where a rule is to match; 0: any
	only  Family       // 0: both
	after func(*stage) // what follows the steps; nil: nothing
	known []string     // complaints of the jury's that are meant
}

// playLimit bounds one wait for something that must come: it is long, for the
// machine may be busy; what must not come too late says within.
const playLimit = 8 * time.Second

// stage is a play being played.
type stage struct {
	l      *Lab
	f      Family
	play   *play
	log    *judgeLog
	legs   map[byte]*judgeLeg
	client netip.AddrPort
	server netip.AddrPort // raw or the kernel's
	hosts  *judgeHosts

	listener *net.TCPListener
	conn     *net.TCPConn
	dialled  chan error
	line     string
}

type judgeHosts struct{ client, server *judgeHost }

type playError string

func (s *stage) fail(format string, args ...any) {
	panic(playError(fmt.Sprintf("at %q: ", s.line) + fmt.Sprintf(format, args...)))
}

// perform plays a play and returns what was wrong, "" being nothing.
func (s *stage) perform() (failure string) {
	s.log.begun = time.Now().Round(0)
	for _, which := range []byte("cs") {
		if which != s.play.kernel() {
			s.leg(which) // it hears from now on
		}
	}
	defer s.strike()
	defer func() {
		if r := recover(); r != nil {
			if e, ok := r.(playError); ok {
				failure = string(e) + "\n" + s.log.String()
				return
			}
			panic(r)
		}
	}()
	for line := range strings.Lines(s.play.steps) {
		line, _, _ = strings.Cut(line, "#")
		if s.line = strings.TrimSpace(line); s.line != "" {
			s.step(s.line)
		}
	}
	if s.play.after != nil {
		s.play.after(s)
	}
	var wrong []string
	for _, leg := range s.legs {
		leg.mu.Lock()
		for _, w := range leg.wrong {
			if !s.meant(w) {
				wrong = append(wrong, w)
			}
		}
		leg.mu.Unlock()
	}
	if len(wrong) > 0 {
		return strings.Join(wrong, "\n") + "\n" + s.log.String()
	}
	return ""
}

func (s *stage) meant(complaint string) bool {
	for _, k := range s.play.known {
		if strings.Contains(complaint, k) {
			return true
		}
	}
	return false
}

// strike ends what the play has open, so that the gateway forgets it: RSTs at
// the exact places, and the kernel's socket by a reset.
func (s *stage) strike() {
	if s.conn != nil {
		_ = s.conn.SetLinger(0)
		_ = s.conn.Close()
	}
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for _, leg := range s.legs {
		leg.mu.Lock()
		p := &judgePacket{flags: fRST, seq: leg.nxt}
		met := leg.met && leg.nxt != 0
		leg.mu.Unlock()
		if met {
			_ = leg.send(p, "RST, the play is over")
		}
		leg.host.remove(leg)
	}
}

func (s *stage) step(line string) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "c>", "s>":
		s.sendStep(s.leg(word[0]), rest)
	case "c<", "s<":
		s.expectStep(s.leg(word[0]), rest)
	case "c!", "s!":
		s.icmpStep(s.leg(word[0]), rest)
	case "c=", "s=":
		s.setStep(s.leg(word[0]), rest)
	case "wait":
		time.Sleep(s.duration(rest))
	case "open":
		s.openStep(rest)
	case "openk":
		c, _ := s.optionsOf(rest, "C=", "<mss 1000>")
		s.script("k listen", "c> S 0 "+c, "c< S. 0 ack 1", "c> . 1 ack 1", "k accept")
	case "kopen":
		v, _ := s.optionsOf(rest, "S=", "<mss 1000>")
		s.script("k dial", "s< S 0", "s> S. 0 ack 1 "+v, "s< . 1 ack 1", "k connected")
	case "k":
		s.kernelStep(rest)
	default:
		s.fail("no such step")
	}
}

func (s *stage) script(lines ...string) {
	whole := s.line
	for _, line := range lines {
		s.line = whole + ": " + line
		s.step(line)
	}
	s.line = whole
}

// leg returns the judge's leg, which begins with its first step.
func (s *stage) leg(which byte) *judgeLeg {
	if l := s.legs[which]; l != nil {
		return l
	}
	iss := uint32(s.client.Port())*7919 + uint32(which)<<24
	if which == 'c' {
		s.legs[which] = newJudgeLeg("c", s.hosts.client, s.client, s.server, iss, s.log)
	} else {
		s.legs[which] = newJudgeLeg("s", s.hosts.server, s.server, s.client, iss, s.log)
	}
	return s.legs[which]
}

func (s *stage) optionsOf(text, key, without string) (string, bool) {
	_, after, ok := strings.Cut(text, key)
	if !ok {
		return without, false
	}
	end := strings.IndexByte(after, '>')
	if end < 0 {
		s.fail("no > after %s", key)
	}
	return after[:end+1], true
}

// openStep does both handshakes.
func (s *stage) openStep(rest string) {
	c, _ := s.optionsOf(rest, "C=", "<mss 1000>")
	v, _ := s.optionsOf(rest, "S=", c)
	s.script("c> S 0 "+c, "s< S 0", "s> S. 0 ack 1 "+v, "s< . 1 ack 1", "c< S. 0 ack 1", "c> . 1 ack 1", "wait 20ms")
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.fail("%v", err)
	}
	return d
}

// number reads a relative number, which may be an expression. own says in
// whose numbers: those that we count with ISS, or those of the peer.
func (s *stage) number(l *judgeLeg, text string) uint32 {
	at := strings.IndexAny(text, "+-")
	name, add := text, 0
	if at > 0 {
		n, err := strconv.Atoi(text[at:])
		if err != nil {
			s.fail("%q: %v", text, err)
		}
		name, add = text[:at], n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var base uint32
	switch name {
	case "edge":
		base = l.edge - l.iss
	case "nxt":
		base = l.nxt - l.iss
	case "end":
		base = l.heardEnd - l.irs
	default:
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			s.fail("%q: %v", text, err)
		}
		base = uint32(n)
	}
	return base + uint32(add)
}

// words splits a segment's text; what is between < and > stays together.
func words(text string) []string {
	var out []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end := strings.IndexByte(text, ' ')
		if text[0] == '<' {
			end = strings.IndexByte(text, '>') + 1
		}
		if end <= 0 {
			end = len(text)
		}
		out, text = append(out, text[:end]), text[end:]
	}
	return out
}

func (s *stage) flags(text string) int {
	if text == "-" {
		return 0
	}
	flags := 0
	for _, c := range text {
		i := strings.IndexRune(flagLetters, c)
		if i < 0 {
			s.fail("no flag %c", c)
		}
		flags |= 1 << i
	}
	return flags
}

// sendStep sends a segment.
func (s *stage) sendStep(l *judgeLeg, text string) {
	w := words(text)
	if len(w) < 2 {
		s.fail("flags and a number are wanted")
	}
	l.mu.Lock()
	p := &judgePacket{flags: s.flags(w[0]), win: l.win}
	auto, ours, theirs := l.usesTS() && p.flags&fRST == 0, l.tsOurs, l.tsTheirs
	l.mu.Unlock()
	from, to, ranged := strings.Cut(w[1], ":")
	first := s.number(l, from)
	p.seq = l.iss + first
	if ranged {
		last := s.number(l, to)
		text := first
		if p.flags&fSYN != 0 {
			text++ // the text of a SYN follows it
		}
		p.data = l.pattern(text, int(last-first))
	}
	given := false
	for i := 2; i < len(w); i++ {
		value := func() string {
			if i++; i >= len(w) {
				s.fail("%s has no value", w[i-1])
			}
			return w[i]
		}
		switch {
		case w[i] == "ack":
			p.ack = l.irs + s.number(l, value())
		case w[i] == "win":
			p.win = uint16(s.int(value()))
		case w[i] == "urg":
			p.urg = uint16(s.int(value()))
		case w[i] == "tos":
			p.tos = uint8(s.int(value()))
		case w[i] == "ttl":
			p.ttl = uint8(s.int(value()))
		case w[i][0] == '<':
			p.options, given = s.encodeOptions(l, w[i]), true
		case w[i] == "!sum":
			p.badSum = true
		case w[i] == "!ipopt":
			p.ipOptions = []byte{1, 1, 1, 0}
			if l.own.Addr().Is6() {
				p.ipOptions = []byte{0, 0, 1, 4, 0, 0, 0, 0}
			}
		case strings.HasPrefix(w[i], "!off="):
			p.offset = s.int(w[i][5:]) | 16 // 0 is meant as such
		case strings.HasPrefix(w[i], "!res="):
			p.reserved = byte(s.int(w[i][5:]))
		default:
			s.fail("%q is unknown", w[i])
		}
	}
	if auto && !given {
		p.options = timestampsOption(ours+1, theirs)
	}
	if err := l.send(p, text); err != nil {
		s.fail("%v", err)
	}
}

func timestampsOption(val, ecr uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{optNOP, optNOP, optTS, 10}, val)
	return binary.BigEndian.AppendUint32(b, ecr)
}

func (s *stage) int(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.fail("%v", err)
	}
	return n
}

// encodeOptions writes options in the order given. In ts V E, either may be
// left out: our next value, the peer's last one.
func (s *stage) encodeOptions(l *judgeLeg, text string) []byte {
	var b []byte
	for _, o := range strings.Split(strings.Trim(text, "<>"), ",") {
		w := strings.Fields(o)
		if len(w) == 0 {
			continue
		}
		number := func(i int, without uint32) uint32 {
			if i >= len(w) || w[i] == "*" {
				return without
			}
			if n, err := strconv.ParseInt(w[i], 10, 64); err == nil {
				if w[i][0] == '+' || w[i][0] == '-' {
					return without + uint32(n)
				}
				return uint32(n)
			}
			s.fail("%q", w[i])
			return 0
		}
		switch w[0] {
		case "mss":
			b = binary.BigEndian.AppendUint16(append(b, optMSS, 4), uint16(number(1, 0)))
		case "ws":
			b = append(b, optScale, 3, byte(number(1, 0)))
		case "sackOK":
			b = append(b, optSACKOK, 2)
		case "nop":
			b = append(b, optNOP)
		case "eol":
			b = append(b, optEOL)
		case "ts":
			b = binary.BigEndian.AppendUint32(append(b, optTS, 10), number(1, l.tsOurs+1))
			b = binary.BigEndian.AppendUint32(b, number(2, l.tsTheirs))
		case "sack":
			b = append(b, optSACK, byte(2+8*(len(w)-1)))
			for _, r := range w[1:] {
				from, to, _ := strings.Cut(r, ":")
				b = binary.BigEndian.AppendUint32(b, l.irs+s.number(l, from))
				b = binary.BigEndian.AppendUint32(b, l.irs+s.number(l, to))
			}
		case "x":
			raw, err := hex.DecodeString(w[1])
			if err != nil {
				s.fail("%v", err)
			}
			b = append(b, raw...)
		default:
			s.fail("no option %q", w[0])
		}
	}
	return b
}

// setStep sets what holds for all that the leg sends: win n, iss n.
func (s *stage) setStep(l *judgeLeg, text string) {
	w := words(text)
	if len(w) == 1 {
		w = append(w, "0")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch w[0] {
	case "win":
		l.win = uint16(s.int(w[1]))
	case "iss":
		l.iss = uint32(s.int(w[1]))
		l.sentEnd = l.iss
	case "anew": // a new connection on the same tuple, from this ISN on
		l.iss += uint32(s.int(w[1]))
		l.sentEnd, l.met, l.toldAny, l.edgeAny, l.nxt = l.iss, false, false, false, 0
		l.mine, l.theirs, l.inbox, l.tsAny, l.ackSent = said{}, said{}, nil, false, 0
	case "forget": // of the peer: it begins a new connection
		l.met, l.toldAny, l.edgeAny, l.nxt, l.tsAny, l.theirs = false, false, false, 0, false, said{}
	case "ts":
		l.tsOurs = uint32(s.int(w[1]))
	default:
		s.fail("no such setting")
	}
}

// icmpStep sends an ICMP error about a segment of the gateway's: type, code,
// the first number of the segment, and a value (the MTU).
func (s *stage) icmpStep(l *judgeLeg, text string) {
	w := words(text)
	if len(w) < 4 {
		s.fail("type code number value")
	}
	quoted := &judgePacket{src: l.peer, dst: l.own, flags: fACK, seq: l.irs + s.number(l, w[2]), win: 1000}
	carried := append([]byte{byte(s.int(w[0])), byte(s.int(w[1])), 0, 0, 0, 0, 0, 0}, quoted.bytes()...)
	binary.BigEndian.PutUint32(carried[4:], uint32(s.int(w[3])))
	outer := &judgePacket{src: l.own, dst: l.peer}
	protocol, initial := byte(unix.IPPROTO_ICMP), uint32(0)
	if l.own.Addr().Is6() {
		protocol = unix.IPPROTO_ICMPV6
		initial = uint32(unix.IPPROTO_ICMPV6) + uint32(len(carried)) + addends(l.own.Addr().AsSlice()) + addends(l.peer.Addr().AsSlice())
	}
	binary.BigEndian.PutUint16(carried[2:], internetSum(initial, carried))
	l.log.add(time.Now().Round(0), "%s! icmp %s", l.name, text)
	if err := l.host.write(judgeIP(outer, protocol, carried)); err != nil {
		s.fail("%v", err)
	}
}

// kernelStep drives the real socket.
func (s *stage) kernelStep(text string) {
	w := words(text)
	arg := func(i int) string {
		if i >= len(w) {
			s.fail("a value is wanted")
		}
		return w[i]
	}
	if s.conn != nil {
		_ = s.conn.SetDeadline(time.Now().Add(playLimit))
	}
	var err error
	switch w[0] {
	case "listen":
		err = s.l.Server.In(func() error {
			ln, err := net.Listen("tcp", s.server.String())
			if err == nil {
				s.listener = ln.(*net.TCPListener)
			}
			return err
		})
	case "nomore":
		err = s.listener.Close()
	case "accept":
		_ = s.listener.SetDeadline(time.Now().Add(playLimit))
		s.conn, err = s.listener.AcceptTCP()
	case "dial":
		s.dialled = make(chan error, 1)
		go func() {
			conn, err := s.l.Client.DialFrom(s.client, s.server, playLimit)
			s.conn = conn
			s.dialled <- err
		}()
	case "connected":
		err = <-s.dialled
	case "refused":
		if err = <-s.dialled; errors.Is(err, syscall.ECONNREFUSED) {
			err = nil
		} else {
			s.fail("dialling ended with %v", err)
		}
	case "write", "read":
		from, to, _ := strings.Cut(arg(1), ":")
		s.kernelText(w[0] == "write", uint32(s.int(from)), uint32(s.int(to)))
	case "eof":
		if n, got := s.conn.Read(make([]byte, 1)); got != io.EOF {
			s.fail("read %d octets, %v", n, got)
		}
	case "reset":
		if n, got := s.conn.Read(make([]byte, 1)); !errors.Is(got, syscall.ECONNRESET) {
			s.fail("read %d octets, %v", n, got)
		}
	case "shut":
		err = s.conn.CloseWrite()
	case "linger0":
		err = s.conn.SetLinger(0)
	case "close":
		err = s.conn.Close()
	default:
		s.fail("no such call")
	}
	if err != nil {
		s.fail("%v", err)
	}
	s.log.add(time.Now().Round(0), "k %s", text)
}

// kernelText writes or reads the pattern. The kernel is the peer of whichever
// end the judge plays.
func (s *stage) kernelText(write bool, from, to uint32) {
	as := &judgeLeg{name: "s"}
	if s.listener == nil {
		as.name = "c"
	}
	want := make([]byte, to-from)
	for i := range want {
		want[i] = as.octet(write, from+uint32(i))
	}
	if write {
		if n, err := s.conn.Write(want); err != nil {
			s.fail("wrote %d octets, %v", n, err)
		}
		return
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(s.conn, got); err != nil {
		s.fail("read %d octets, %v", n, err)
	}
	if !bytes.Equal(got, want) {
		for i := range got {
			if got[i] != want[i] {
				s.fail("octet %d is %#x, not %#x", from+uint32(i), got[i], want[i])
			}
		}
	}
}

// kernel tells at which end the play has a real socket: 'c', 's' or 0.
func (p *play) kernel() byte {
	switch {
	case strings.Contains(p.steps, "k dial"), strings.Contains(p.steps, "kopen"):
		return 'c'
	case strings.Contains(p.steps, "k listen"), strings.Contains(p.steps, "openk"):
		return 's'
	}
	return 0
}
