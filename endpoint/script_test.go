package endpoint

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A script drives one endpoint in virtual time, in the notation of
// packetdrill. Each line has a time in seconds, absolute or with + relative
// to the line before, and
//
//	set KEY=VALUE ...        a field of Config or Open, before open
//	open active|passive      the OPEN call
//	< FLAGS A:B(N) ...       a segment arrives
//	> FLAGS A:B(N) ...       exactly this one must leave, at this time
//	> none                   nothing has left up to now
//	write N, read N, close, shutdown, abort     the user's calls
//	icmp TYPE CODE seq N [mtu N]
//	state NAME               the state must be that
//	events NAME ...          these events, and no others, must have happened
//	mark N                   urgent data ends N octets after what was written
//	urgent N | none          so many octets up to the end of the peer's urgent data
//	tune window=N withhold stretch=N deferfin   what faults change; without words nothing
//	repeatack N              N copies of the last ACK
//	release KIND             what is held (syn-ack, ack, fin) is let go
//	asked KIND N             the holder was asked that often
//	unread N                 that many octets must be readable
//
// Sequence numbers are relative to the sender's initial one. A segment has
// flags (S F R P U E W . or -), then ack N, win N, urg N, ecn N, and options in
// <>; a > line checks what is optional only if it names it.
type script struct {
	t     *testing.T
	line  int
	now   Time
	cfg   Config
	open  Open
	e     *Endpoint
	hold  fixedHold
	peer  Seq
	out   []sentSegment
	bytes int
	edge  Seq // of the window that the peer was told
}

type sentSegment struct {
	at Time
	Segment
	n int
}

func TestScripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/scripts/*.pkt")
	if len(files) == 0 {
		t.Fatal("no scripts found")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		group := strings.TrimSuffix(filepath.Base(f), ".pkt")
		for part := range strings.SplitSeq(string(text), "\n=== ") {
			first := strings.Count(string(text)[:strings.Index(string(text), part)], "\n")
			name, body, _ := strings.Cut(part, "\n")
			name = strings.TrimPrefix(name, "=== ")
			t.Run(group+"/"+name, func(t *testing.T) { runScript(t, body, first+1) })
		}
	}
}

func runScript(t *testing.T, body string, line int) {
	s := &script{t: t, line: line, now: Time(time.Second), cfg: DefaultConfig(), open: testOpen(5000), peer: 90000}
	s.cfg.MSL = 30 * time.Second
	s.open.Timestamps = false
	sc := bufio.NewScanner(strings.NewReader(body))
	start := s.now
	at := start
	for sc.Scan() {
		s.line++
		text := strings.TrimSpace(sc.Text())
		if text == "" || strings.HasPrefix(text, "//") {
			continue
		}
		when, cmd, ok := strings.Cut(text, " ")
		if !ok {
			s.fail("a line needs a time and a command")
		}
		d, err := strconv.ParseFloat(strings.TrimPrefix(when, "+"), 64)
		if err != nil {
			s.fail("bad time %q", when)
		}
		if strings.HasPrefix(when, "+") {
			at = at.Add(seconds(d))
		} else {
			at = start.Add(seconds(d))
		}
		s.advance(at)
		s.command(strings.TrimSpace(cmd))
		s.poll()
	}
	if len(s.out) > 0 {
		s.fail("left over at the end: %s", s.show(&s.out[0]))
	}
}

func seconds(f float64) time.Duration { return time.Duration(math.Round(f * 1e9)) }

func (s *script) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("line %d: %s", s.line, fmt.Sprintf(format, args...))
}

// advance lets timers fire up to at, each at its own time.
func (s *script) advance(at Time) {
	for s.e != nil && s.e.NextTimeout() <= at {
		s.now = max(s.now, s.e.NextTimeout())
		s.e.HandleTimeout(s.now)
		s.poll()
	}
	s.now = at
}

func (s *script) poll() {
	if s.e == nil {
		return
	}
	var seg Segment
	for s.e.PollSegment(s.now, &seg) {
		out := sentSegment{at: s.now, Segment: seg, n: seg.PayloadLen()}
		out.Pieces = nil
		s.out = append(s.out, out)
		s.wantEdge(&seg)
		seg.Pieces = nil
		if len(s.out) > 1000 {
			s.fail("sends without end")
		}
	}
	if err := s.e.Verify(); err != nil {
		s.fail("%v", err)
	}
}

// wantEdge demands of each segment that the right edge of the window does not
// move left (SHLD-14).
func (s *script) wantEdge(g *Segment) {
	if !g.Flags.Has(ACK) || g.Flags.Has(RST) {
		return
	}
	shift := s.e.rcv.scale
	if g.Flags.Has(SYN) {
		s.edge, shift = g.Ack, 0
	} else if s.edge == 0 {
		s.edge = g.Ack
	}
	edge := g.Ack.Plus(int(g.Window) << shift)
	if s.e.tune != nil && s.e.tune.Limited {
		return // a fault tells less than was promised
	}
	if edge.Before(s.edge) {
		s.fail("the right edge of the window moves left by %d", edge.To(s.edge))
	}
	s.edge = edge
}

func (s *script) command(cmd string) {
	verb, rest, _ := strings.Cut(cmd, " ")
	rest = strings.TrimSpace(rest)
	number := func() int {
		n, err := strconv.Atoi(rest)
		if err != nil {
			s.fail("bad number %q", rest)
		}
		return n
	}
	if verb != ">" && verb != "state" && verb != "events" && verb != "unread" && verb != "urgent" && len(s.out) > 0 {
		s.fail("not expected before this line: %s", s.show(&s.out[0]))
	}
	switch verb {
	case "set":
		for kv := range strings.FieldsSeq(rest) {
			s.set(kv)
		}
	case "tune", "repeatack", "release", "asked":
		s.faults(verb, rest)
	case "open":
		if s.hold.by != [numHeld]time.Duration{} {
			s.open.Holder = &s.hold
		}
		if rest == "active" {
			s.e = NewActive(s.now, &s.cfg, s.open)
		} else {
			s.e = NewPassive(&s.cfg, s.open)
		}
	case "<":
		seg := s.parse(rest)
		data := make([]byte, seg.n)
		for i := range data {
			data[i] = byte(int(seg.Seq-s.peer-1) + i)
		}
		seg.Payload = data
		s.e.HandleSegment(s.now, &seg.Segment)
	case ">":
		s.want(rest)
	case "write":
		data := make([]byte, number())
		for i := range data {
			data[i] = byte(s.bytes + i)
		}
		s.bytes += len(data)
		s.e.Write(s.now, NewChunk(data, nil))
	case "read":
		s.read(number())
	case "close":
		s.e.Close(s.now)
	case "shutdown":
		s.e.CloseWrite(s.now)
	case "abort":
		s.e.Abort(s.now)
	case "icmp":
		s.icmp(rest)
	case "state":
		if got := s.e.State().String(); got != rest {
			s.fail("state is %s, wanted %s", got, rest)
		}
	case "events":
		s.wantEvents(rest)
	case "mark":
		s.e.MarkUrgent(s.now, number())
	case "urgent":
		got, ok := s.e.Urgent()
		if text := strconv.Itoa(got); ok && text != rest || !ok && rest != "none" {
			s.fail("urgent octets: %d, %v; wanted %s", got, ok, rest)
		}
	case "unread":
		if got := s.e.Readable(); got != number() {
			s.fail("%d octets readable, wanted %s", got, rest)
		}
	default:
		s.fail("unknown command %q", verb)
	}
}

func (s *script) read(n int) {
	for n > 0 {
		c, ok := s.e.Read(s.now, n)
		if !ok {
			s.fail("%d octets less to read than wanted", n)
		}
		n -= len(c.Data)
		c.Release()
	}
}

func (s *script) set(kv string) {
	k, v, _ := strings.Cut(kv, "=")
	n, nerr := strconv.Atoi(v)
	d, derr := time.ParseDuration(v)
	on := v == "on"
	ints := map[string]*int{"rcvbuf": &s.cfg.ReceiveBuffer, "sndbuf": &s.cfg.SendBuffer, "iw": &s.cfg.InitialWindow,
		"mss": &s.open.MSS, "mtu": &s.open.MTU, "wscale": &s.open.WindowScale, "synretries": &s.cfg.SYNRetries, "synackretries": &s.cfg.SYNACKRetries, "ackevery": &s.cfg.AckEvery, "quickacks": &s.cfg.QuickACKs, "blackhole": &s.cfg.BlackHole, "r1": &s.cfg.R1, "keepcount": &s.cfg.KeepAlive.Count}
	times := map[string]*time.Duration{"ackdelay": &s.cfg.AckDelay, "holdack": &s.hold.by[HeldACK], "holdlastack": &s.hold.by[HeldLastACK], "holdfin": &s.hold.by[HeldFIN],
		"holdsynack": &s.hold.by[HeldSYNACK], "msl": &s.cfg.MSL, "r2": &s.cfg.R2, "keepidle": &s.cfg.KeepAlive.Idle, "keepinterval": &s.cfg.KeepAlive.Interval}
	bools := map[string]*bool{"sack": &s.open.SACK, "ts": &s.open.Timestamps, "nagle": &s.cfg.Nagle, "ipv6": &s.open.IPv6, "ecn": &s.open.ECN}
	switch {
	case ints[k] != nil && nerr == nil:
		*ints[k] = n
	case times[k] != nil && derr == nil:
		*times[k] = d
	case bools[k] != nil && (on || v == "off"):
		*bools[k] = on
	case k == "iss" && nerr == nil:
		s.open.ISS = Seq(n)
	case k == "synwindow" && nerr == nil:
		s.open.SYNWindow = uint16(n)
	case k == "peer" && nerr == nil:
		s.peer = Seq(n)
	case k == "cc":
		s.cfg.Congestion = v
	default:
		s.fail("cannot set %q", kv)
	}
}

// want takes the oldest segment sent and compares.
func (s *script) want(text string) {
	if text == "none" {
		if len(s.out) > 0 {
			s.fail("nothing should leave, but: %s", s.show(&s.out[0]))
		}
		return
	}
	w := s.parse(text)
	if len(s.out) == 0 {
		s.fail("nothing left; next timeout %v, state %s", s.e.NextTimeout().Sub(s.now), s.e.State())
	}
	g := s.out[0]
	s.out = s.out[1:]
	wrong := func(what string) { s.fail("%s differs: sent %s", what, s.show(&g)) }
	if g.at != s.now {
		wrong("time")
	}
	if g.Flags != w.Flags {
		wrong("flags")
	}
	if seq := g.Seq - s.open.ISS; seq != w.Seq-s.peer && !(g.Flags.Has(RST) && g.Seq == 0) {
		wrong("seq")
	}
	if g.n != w.n {
		wrong("length")
	}
	if w.Flags.Has(ACK) && g.Ack-s.peer != w.Ack-s.open.ISS {
		wrong("ack")
	}
	if strings.Contains(text, "win ") && g.Window != w.Window {
		wrong("win")
	}
	if strings.Contains(text, "urg ") && g.Urgent != w.Urgent {
		wrong(fmt.Sprintf("urgent pointer %d", g.Urgent))
	}
	if strings.Contains(text, "ecn ") && g.ECN != w.ECN {
		wrong(fmt.Sprintf("ECN field %d", g.ECN))
	}
	if strings.Contains(text, "<") {
		a, b := g.Options, w.Options
		if b.TSVal == 0 {
			a.TSVal, a.TSEcr = 0, b.TSEcr
		}
		for i := range a.SACK[:a.SACKBlocks] {
			a.SACK[i].Start -= s.peer
			a.SACK[i].End -= s.peer
		}
		for i := range b.SACK[:b.SACKBlocks] {
			b.SACK[i].Start -= s.open.ISS
			b.SACK[i].End -= s.open.ISS
		}
		if a != b {
			wrong(fmt.Sprintf("options (%+v, wanted %+v)", a, b))
		}
	}
}

func (s *script) show(g *sentSegment) string {
	return fmt.Sprintf("%s %d:%d(%d) ack %d win %d %+v at %v", g.Flags, g.Seq-s.open.ISS, int(g.Seq-s.open.ISS)+g.n, g.n,
		g.Ack-s.peer, g.Window, g.Options, g.at.Sub(Time(time.Second)))
}

// parse reads a segment; its numbers become those of a segment from the peer.
func (s *script) parse(text string) *sentSegment {
	g := &sentSegment{}
	body, opts, _ := strings.Cut(text, "<")
	f := strings.Fields(body)
	letters := map[rune]Flags{'S': SYN, 'F': FIN, 'R': RST, 'P': PSH, 'U': URG, 'E': ECE, 'W': CWR, '.': ACK}
	for _, c := range f[0] {
		if c != '-' && letters[c] == 0 {
			s.fail("unknown flag %q", c)
		}
		g.Flags |= letters[c]
	}
	if len(f) > 1 {
		var a, b, n int
		if _, err := fmt.Sscanf(f[1], "%d:%d(%d)", &a, &b, &n); err != nil || b-a != n {
			s.fail("bad sequence numbers %q", f[1])
		}
		g.Seq, g.n = s.peer.Plus(a), n
	}
	for i := 2; i+1 < len(f); i += 2 {
		n, err := strconv.Atoi(f[i+1])
		if err != nil {
			s.fail("bad number %q", f[i+1])
		}
		switch f[i] {
		case "ack":
			g.Ack = s.open.ISS.Plus(n)
		case "win":
			g.Window = uint16(n)
		case "urg":
			g.Urgent = uint16(n)
		case "ecn":
			g.ECN = uint8(n)
		default:
			s.fail("unknown field %q", f[i])
		}
	}
	for o := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(opts), ">"), ",") {
		s.option(strings.Fields(o), &g.Options)
	}
	return g
}

func (s *script) option(f []string, o *Options) {
	if len(f) == 0 {
		return
	}
	num := func(i int) int {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			s.fail("bad option %v", f)
		}
		return n
	}
	switch f[0] {
	case "mss":
		o.Has |= HasMSS
		o.MSS = uint16(num(1))
	case "wscale":
		o.Has |= HasWindowScale
		o.WindowScale = uint8(num(1))
	case "sackOK":
		o.Has |= HasSACKPermitted
	case "TS":
		o.Has |= HasTimestamps
		if len(f) > 2 {
			o.TSVal, o.TSEcr = uint32(num(1)), uint32(num(2))
		}
	case "sack":
		for _, r := range f[1:] {
			var a, b int
			if _, err := fmt.Sscanf(r, "%d:%d", &a, &b); err != nil {
				s.fail("bad SACK block %q", r)
			}
			o.SACK[o.SACKBlocks] = Range{s.open.ISS.Plus(a), s.open.ISS.Plus(b)}
			o.SACKBlocks++
		}
	case "bad":
		o.Has |= HasMalformed
	case "nop", "eol":
	default:
		s.fail("unknown option %q", f[0])
	}
}

func (s *script) icmp(text string) {
	var typ, code, seq, mtu int
	if n, _ := fmt.Sscanf(text, "%d %d seq %d mtu %d", &typ, &code, &seq, &mtu); n < 3 {
		s.fail("bad icmp %q", text)
	}
	s.e.HandleICMP(s.now, s.open.ISS.Plus(seq), &ICMPError{Type: uint8(typ), Code: uint8(code), MTU: mtu})
}

var eventNames = []string{"established", "readable", "writable", "peerclosed", "reset", "refused", "timeout", "trouble",
	"softerror", "urgent", "timewait", "closed"}

func (s *script) wantEvents(text string) {
	got := s.e.TakeEvents()
	var names []string
	for i, n := range eventNames {
		if got.Has(1 << i) {
			names = append(names, n)
		}
	}
	if strings.Join(names, " ") != strings.TrimSpace(text) {
		s.fail("events are %q, wanted %q", strings.Join(names, " "), text)
	}
}
