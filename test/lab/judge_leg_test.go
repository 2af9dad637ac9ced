package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// judgeLog is what happened in one play, on both legs.
type judgeLog struct {
	mu    sync.Mutex
	begun time.Time
	lines []string
}

// judgeLogLimit bounds the lines of one play that are kept.
const judgeLogLimit = 400

func (l *judgeLog) add(at time.Time, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < judgeLogLimit {
		l.lines = append(l.lines, fmt.Sprintf("%8.3f ", at.Sub(l.begun).Seconds())+fmt.Sprintf(format, args...))
	}
}

func (l *judgeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// said is what a SYN has said.
type said struct {
	spoken        bool
	mss           int // 0: nothing
	scale         int // -1: nothing
	sack, ts, ecn bool
}

// judgeLeg is the judge's end of one connection with the gateway. What is
// heard is held against what every segment must be, whatever the play says.
type judgeLeg struct {
	name      string // "c": the judge is the client, "s": the server
	host      *judgeHost
	own, peer netip.AddrPort
	log       *judgeLog

	mu     sync.Mutex
	inbox  []*judgeSegment
	more   chan struct{}
	wrong  []string
	iss    uint32
	irs    uint32
	met    bool // irs is known
	mine   said
	theirs said

	sentEnd   uint32 // beyond the last number that we have sent
	told      uint32 // the furthest right edge that we have told
	toldAny   bool
	ackSent   uint32 // the latest acknowledgement that we have sent
	heardEnd  uint32 // beyond the last number that we have heard
	whole     uint32 // the relative number up to which the peer's octets are here
	edge      uint32 // the furthest right edge that we were told
	edgeAny   bool
	nxt       uint32 // the latest acknowledgement that we have heard
	tsOurs    uint32 // the latest timestamp that we have sent
	tsSent    map[uint32]bool
	tsTheirs  uint32
	tsAny     bool
	ecrTheirs uint32
	win       uint16 // the window that we tell by default
	last      time.Time
	seen      map[[2]uint32]bool // first and last numbers heard
}

func newJudgeLeg(name string, h *judgeHost, own, peer netip.AddrPort, iss uint32, log *judgeLog) *judgeLeg {
	l := &judgeLeg{name: name, host: h, own: own, peer: peer, log: log, more: make(chan struct{}, 1),
		iss: iss, sentEnd: iss, win: 65535, tsSent: map[uint32]bool{}, seen: map[[2]uint32]bool{}, last: time.Now().Round(0)}
	l.tsOurs = 1_000_000
	h.add(l)
	return l
}

// octet is what stands at a place of a stream, so that no payload can be taken
// for another. Client's octets differ from the server's.
func (l *judgeLeg) octet(ours bool, at uint32) byte {
	fromClient := (l.name == "c") == ours
	x := at*2654435761>>24 ^ at
	if fromClient {
		return byte(x)
	}
	return ^byte(x)
}

// pattern is the payload of n octets of ours from a relative number on.
func (l *judgeLeg) pattern(from uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = l.octet(true, from+uint32(i))
	}
	return b
}

// readSaid reads the options of a SYN.
func readSaid(s *judgeSegment) said {
	v := said{spoken: true, scale: -1, ecn: s.flags&fECE != 0}
	for _, o := range s.options {
		switch {
		case o.kind == optMSS && len(o.data) == 2:
			v.mss = int(binary.BigEndian.Uint16(o.data))
		case o.kind == optScale && len(o.data) == 1:
			v.scale = min(int(o.data[0]), 14)
		case o.kind == optSACKOK && len(o.data) == 0:
			v.sack = true
		case o.kind == optTS && len(o.data) == 8:
			v.ts = true
		}
	}
	return v
}

// both tells what holds once both SYNs are known.
func (l *judgeLeg) both() bool { return l.mine.spoken && l.theirs.spoken }

func (l *judgeLeg) usesTS() bool    { return l.both() && l.mine.ts && l.theirs.ts }
func (l *judgeLeg) usesSACK() bool  { return l.both() && l.mine.sack && l.theirs.sack }
func (l *judgeLeg) usesScale() bool { return l.both() && l.mine.scale >= 0 && l.theirs.scale >= 0 }

// window is a window field of a segment that is no SYN, in octets.
func (l *judgeLeg) window(s *judgeSegment) uint32 {
	if s.flags&fSYN == 0 && l.usesScale() {
		return uint32(s.win) << l.theirs.scale
	}
	return uint32(s.win)
}

func before(a, b uint32) bool { return int32(a-b) < 0 }

// hear takes a segment from the wire.
func (l *judgeLeg) hear(s *judgeSegment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.icmp {
		l.log.add(s.at, "%s< icmp %d/%d about %d", l.name, s.kind, s.code, s.seq-l.iss)
	} else {
		l.meet(s)
		l.log.add(s.at, "%s< %s", l.name, l.render(s))
		l.judge(s)
	}
	if s.len() > 0 && s.flags&fRST == 0 {
		s.repeated = l.seen[[2]uint32{s.seq, s.seq + s.len()}]
		l.seen[[2]uint32{s.seq, s.seq + s.len()}] = true
	}
	l.inbox = append(l.inbox, s)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// meet learns the peer's initial number from its SYN.
func (l *judgeLeg) meet(s *judgeSegment) {
	if s.flags&fSYN == 0 || s.flags&fRST != 0 {
		return
	}
	if l.met && s.seq == l.irs {
		return
	}
	l.irs, l.met = s.seq, true
	l.theirs = readSaid(s)
	l.heardEnd, l.edgeAny, l.tsAny, l.whole = s.seq, false, false, 1
}

// judge holds a segment against what must be true of all.
func (l *judgeLeg) judge(s *judgeSegment) {
	for _, w := range s.wrong {
		l.complain(s, "%s", w)
	}
	if s.flags&fRST == 0 {
		l.judgeOptions(s)
		l.judgeText(s)
	}
	l.judgeFlags(s)
	if s.flags&fACK != 0 && s.flags&fRST == 0 && l.met {
		l.judgeWindow(s)
	}
}

func (l *judgeLeg) complain(s *judgeSegment, format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf("%s< %s: ", l.name, l.render(s))+fmt.Sprintf(format, args...))
}

func (l *judgeLeg) judgeFlags(s *judgeSegment) {
	switch {
	case s.flags&fSYN != 0 && s.flags&(fFIN|fRST) != 0:
		l.complain(s, "a SYN that is a FIN or RST too")
	case s.flags&(fSYN|fRST|fACK) == 0:
		l.complain(s, "neither ACK, SYN nor RST")
	case s.flags&fNS != 0:
		l.complain(s, "the reserved bit that was NS is set")
	case s.flags&fURG == 0 && s.urg != 0:
		l.complain(s, "an urgent pointer without URG")
	case s.flags&fACK == 0 && s.ack != 0:
		l.complain(s, "an acknowledgement number without ACK")
	case s.flags&fRST != 0 && len(s.data) > 0:
		l.complain(s, "a RST with text")
	}
	if s.ttl < 32 {
		l.complain(s, "TTL %d", s.ttl)
	}
	if s.tos&3 != 0 && (len(s.data) == 0 || !l.mine.ecn || !l.theirs.ecn) {
		l.complain(s, "ECN field %d on what is not ECN-capable (RFC 3168, 6.1.4 and 6.1.5)", s.tos&3)
	}
}

func (l *judgeLeg) judgeOptions(s *judgeSegment) {
	syn := s.flags&fSYN != 0
	seen := map[byte]bool{}
	for _, o := range s.options {
		if seen[o.kind] {
			l.complain(s, "option %d twice", o.kind)
		}
		seen[o.kind] = true
		switch o.kind {
		case optMSS, optScale, optSACKOK:
			if !syn {
				l.complain(s, "option %d without SYN", o.kind)
			}
			if syn && s.flags&fACK != 0 && l.mine.spoken &&
				(o.kind == optScale && l.mine.scale < 0 || o.kind == optSACKOK && !l.mine.sack) {
				l.complain(s, "option %d was not offered", o.kind)
			}
		case optTS:
			if !syn && !l.usesTS() || syn && s.flags&fACK != 0 && l.mine.spoken && !l.mine.ts {
				l.complain(s, "timestamps were not negotiated")
			}
		case optSACK:
			if !l.usesSACK() {
				l.complain(s, "SACK was not negotiated")
			}
			l.judgeSACK(s, o.data)
		default:
			l.complain(s, "option %d, which nobody asked for", o.kind)
		}
	}
	if !syn && l.usesTS() && !seen[optTS] {
		l.complain(s, "no timestamps, though negotiated (RFC 7323, 3.2)")
	}
	if d, ok := s.option(optTS); ok && len(d) == 8 {
		l.judgeTimestamps(s, binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:]))
	}
}

func (l *judgeLeg) judgeTimestamps(s *judgeSegment, val, ecr uint32) {
	switch {
	case s.flags&fACK == 0 && ecr != 0:
		l.complain(s, "TSecr %d without ACK (RFC 7323, 3.2)", ecr)
	case s.flags&fACK != 0 && !l.tsSent[ecr]:
		l.complain(s, "TSecr %d, which was never sent", ecr)
	}
	if l.tsAny && before(val, l.tsTheirs) {
		l.complain(s, "TSval went back from %d to %d", l.tsTheirs, val)
	}
	if l.tsAny && s.flags&fACK != 0 && before(ecr, l.ecrTheirs) {
		l.complain(s, "TSecr went back from %d to %d", l.ecrTheirs, ecr)
	}
	l.tsTheirs, l.tsAny = val, true
	if s.flags&fACK != 0 {
		l.ecrTheirs = ecr
	}
}

func (l *judgeLeg) judgeSACK(s *judgeSegment, d []byte) {
	if len(d) == 0 || len(d)%8 != 0 || len(d) > 32 {
		l.complain(s, "a SACK option of %d octets", len(d))
		return
	}
	for i := 0; i+8 <= len(d); i += 8 {
		left, right := binary.BigEndian.Uint32(d[i:]), binary.BigEndian.Uint32(d[i+4:])
		switch {
		case !before(left, right):
			l.complain(s, "SACK block %d is empty or reversed", i/8)
		case before(l.sentEnd, right):
			l.complain(s, "SACK block %d reports what was never sent", i/8)
		case i > 0 && before(left, s.ack):
			l.complain(s, "SACK block %d lies below the acknowledgement", i/8)
		case i == 0 && before(left, s.ack) && before(s.ack, right):
			l.complain(s, "SACK block 0 spans the acknowledgement")
		}
	}
}

// judgeText judges size, place and content of the payload.
func (l *judgeLeg) judgeText(s *judgeSegment) {
	if !l.met {
		return
	}
	room := 536
	if l.own.Addr().Is6() {
		room = 1220
	}
	if l.mine.mss > 0 {
		room = l.mine.mss
	}
	options := 0
	for _, o := range s.options {
		options += len(o.data) + 2
	}
	options = (options + 3) / 4 * 4
	if len(s.data)+options > max(room, 48) && l.mine.spoken {
		l.complain(s, "%d octets of text and %d of options exceed the MSS of %d", len(s.data), options, room)
	}
	for i, x := range s.data {
		if want := l.octet(false, s.seq-l.irs+uint32(i)); x != want {
			l.complain(s, "octet %d is %#x, not %#x", s.seq-l.irs+uint32(i), x, want)
			break
		}
	}
	end := s.seq + s.len()
	if l.toldAny && len(s.data) > 0 && before(l.told, end) && !(len(s.data) == 1) {
		l.complain(s, "%d octets beyond the window", end-l.told)
	}
	if n := end - l.irs; s.seq-l.irs <= l.whole && before(l.whole, n) {
		l.whole = n
	}
	if before(l.heardEnd, end) {
		l.heardEnd = end
	}
}

// judgeWindow judges acknowledgement and window.
func (l *judgeLeg) judgeWindow(s *judgeSegment) {
	if before(l.sentEnd, s.ack) {
		l.complain(s, "acknowledges %d, sent was up to %d", s.ack-l.iss, l.sentEnd-l.iss)
	}
	edge := s.ack + l.window(s)
	grain := uint32(0)
	if l.usesScale() {
		grain = 1<<l.theirs.scale - 1
	}
	if l.edgeAny && before(edge+grain, l.edge) {
		l.complain(s, "the right edge of its window went back by %d", l.edge-edge)
	}
	if !l.edgeAny || before(l.edge, edge) {
		l.edge, l.edgeAny = edge, true
	}
	if l.nxt == 0 || before(l.nxt, s.ack) {
		l.nxt = s.ack
	}
}

// render shows a segment with relative numbers.
func (l *judgeLeg) render(s *judgeSegment) string {
	var b strings.Builder
	n := uint32(len(s.data))
	fmt.Fprintf(&b, "%s %d:%d", flagNames(s.flags), s.seq-l.irs, s.seq-l.irs+n)
	if s.flags&fACK != 0 {
		fmt.Fprintf(&b, " ack %d", s.ack-l.iss)
	}
	fmt.Fprintf(&b, " win %d", s.win)
	if s.flags&fURG != 0 {
		fmt.Fprintf(&b, " urg %d", s.urg)
	}
	if s.tos != 0 {
		fmt.Fprintf(&b, " tos %d", s.tos)
	}
	if len(s.options) > 0 {
		b.WriteString(" <")
		for i, o := range s.options {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(l.renderOption(o))
		}
		b.WriteByte('>')
	}
	return b.String()
}

func (l *judgeLeg) renderOption(o judgeOption) string {
	switch {
	case o.kind == optMSS && len(o.data) == 2:
		return fmt.Sprintf("mss %d", binary.BigEndian.Uint16(o.data))
	case o.kind == optScale && len(o.data) == 1:
		return fmt.Sprintf("ws %d", o.data[0])
	case o.kind == optSACKOK:
		return "sackOK"
	case o.kind == optTS && len(o.data) == 8:
		return fmt.Sprintf("ts %d %d", binary.BigEndian.Uint32(o.data), binary.BigEndian.Uint32(o.data[4:]))
	case o.kind == optSACK && len(o.data)%8 == 0:
		text := "sack"
		for d := o.data; len(d) >= 8; d = d[8:] {
			text += fmt.Sprintf(" %d:%d", binary.BigEndian.Uint32(d)-l.iss, binary.BigEndian.Uint32(d[4:])-l.iss)
		}
		return text
	}
	return fmt.Sprintf("x %02x%x", o.kind, o.data)
}

// send makes and sends a packet whose numbers are absolute, and remembers what
// it says. note is how the play wrote it.
func (l *judgeLeg) send(p *judgePacket, note string) error {
	p.src, p.dst = l.own, l.peer
	raw := p.bytes()
	at := time.Now().Round(0)
	l.mu.Lock()
	plain := *p
	plain.ipOptions = nil
	heard := judgeDecode(plain.bytes())
	if heard != nil && !p.badSum && p.offset == 0 {
		l.remember(p, heard)
	}
	l.last = at
	l.mu.Unlock()
	l.log.add(at, "%s> %s", l.name, note)
	return l.host.write(raw)
}

func (l *judgeLeg) remember(p *judgePacket, s *judgeSegment) {
	if p.flags&fSYN != 0 && p.flags&fRST == 0 && !l.mine.spoken {
		l.mine = readSaid(s)
		if p.flags&(fECE|fCWR) == fECE|fCWR || p.flags&fACK != 0 && p.flags&fECE != 0 {
			l.mine.ecn = true
		}
	}
	if end := p.seq + s.len(); before(l.sentEnd, end) && end-l.iss < 1<<30 {
		l.sentEnd = end
	}
	if d, ok := s.option(optTS); ok && len(d) == 8 {
		val := binary.BigEndian.Uint32(d)
		l.tsSent[val] = true
		if before(l.tsOurs, val) {
			l.tsOurs = val
		}
	}
	if p.flags&fACK == 0 || p.flags&fRST != 0 {
		return
	}
	edge := p.ack + uint32(p.win)
	if p.flags&fSYN == 0 && l.usesScale() {
		edge = p.ack + uint32(p.win)<<l.mine.scale
	}
	if !l.toldAny || before(l.told, edge) {
		l.told, l.toldAny = edge, true
	}
	if !before(p.ack, l.ackSent) || l.ackSent == 0 {
		l.ackSent = p.ack
	}
}

// stamp gives a packet timestamps if they were negotiated.
func (l *judgeLeg) stamp(p *judgePacket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usesTS() {
		p.options = timestampsOption(l.tsOurs+1, l.tsTheirs)
	}
}

// next waits for the next segment until a moment; nil is that none came.
func (l *judgeLeg) next(until time.Time) *judgeSegment {
	for {
		l.mu.Lock()
		if len(l.inbox) > 0 {
			s := l.inbox[0]
			l.inbox = l.inbox[1:]
			l.mu.Unlock()
			return s
		}
		l.mu.Unlock()
		wait := time.Until(until)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.more:
		case <-timer.C:
		}
		timer.Stop()
	}
}
