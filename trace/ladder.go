package trace

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// The columns of the ladder, in characters:
//
//	0.000123 │ client leg ▶ state ║ state ─ server leg ▶│
const (
	timeWidth  = 10
	legWidth   = 41
	stateWidth = 10
)

const (
	// longPause is from when on a pause gets a line of its own.
	longPause = 100 * time.Millisecond
	// maxPictured bounds the connections of which the ladder remembers when
	// they began; an older one that speaks again gets a new heading.
	maxPictured = 4096
)

// LadderOptions say how a Ladder looks.
type LadderOptions struct {
	Colour bool
	Hex    bool // with the octets of each segment, where they are known
}

// Ladder draws events as text. It belongs to one goroutine.
type Ladder struct {
	out   io.Writer
	opt   LadderOptions
	conns map[uint64]*drawn
	order []uint64 // of conns, oldest first
	last  uint64   // the connection of the last line
}

// drawn is what the ladder remembers of a connection.
type drawn struct {
	began, last int64     // nanoseconds
	state       [2]string // as last shown
}

// NewLadder draws on out.
func NewLadder(out io.Writer, opt LadderOptions) *Ladder {
	return &Ladder{out: out, opt: opt, conns: map[uint64]*drawn{}}
}

// Draw draws one event.
func (l *Ladder) Draw(e *Event) {
	switch e.Type {
	case TypeSegment:
		l.segment(e)
	case TypeFault:
		l.fault(e)
	case TypeClosed:
		l.closed(e)
	case TypeLost:
		l.gap(lostText(e.Lost))
	}
}

// segment draws one segment: its arrow, and below it what has to be said.
func (l *Ladder) segment(e *Event) {
	d := l.of(e)
	state := ""
	if leg := legIndex(e); e.State != nil && e.State.After != d.state[leg] {
		state = e.State.After
		d.state[leg] = state
	}
	lines := []line{{arrow(e), segmentColour(e), state}}
	for _, more := range details(e, legWidth-3) {
		lines = append(lines, line{fitLeft("   "+more.text, legWidth), more.colour, ""})
	}
	l.lines(d, e, lines)
	if l.opt.Hex {
		l.octets(e)
	}
}

// fault draws what a fault did: to a segment that goes no further, or not yet,
// its arrow; of one that follows, only the remark.
func (l *Ladder) fault(e *Event) {
	d := l.of(e)
	var lines []line
	switch endOf(e) {
	case endLost:
		lines = append(lines, line{arrow(e), red, ""})
	case endHeld:
		lines = append(lines, line{arrow(e), yellow, ""})
	}
	for _, text := range wrap("▲ "+faultText(e), legWidth-3) {
		lines = append(lines, line{fitLeft("   "+text, legWidth), yellow, ""})
	}
	l.lines(d, e, lines)
}

// line is one line in a leg's column.
type line struct {
	text   string
	colour colour
	state  string
}

// lines prints lines in the column of an event's leg, the time before the
// first.
func (l *Ladder) lines(d *drawn, e *Event, lines []line) {
	l.pause(d, e)
	d.last = max(d.last, e.NS)
	at := l.paint(dim, fmt.Sprintf("%*.6f", timeWidth, time.Duration(e.NS-d.began).Seconds()))
	for _, n := range lines {
		leg, state := l.paint(n.colour, n.text), l.paint(bold, n.state)
		if legIndex(e) == 0 {
			l.row(at, leg, state, "", "")
		} else {
			l.row(at, "", "", state, leg)
		}
		at = ""
	}
}

// of returns what is remembered of an event's connection. A new one, and one
// that other connections have interrupted, gets a heading.
func (l *Ladder) of(e *Event) *drawn {
	d, known := l.conns[e.Conn]
	if !known {
		if len(l.order) == maxPictured {
			delete(l.conns, l.order[0])
			l.order = l.order[1:]
		}
		d = &drawn{began: e.NS, last: e.NS}
		l.conns[e.Conn] = d
		l.order = append(l.order, e.Conn)
	}
	if !known || l.last != e.Conn {
		l.heading(e, known)
	}
	l.last = e.Conn
	return d
}

func (l *Ladder) heading(e *Event, known bool) {
	title := fmt.Sprintf("connection %d: %v -> %v", e.Conn, e.Client, e.Server)
	if e.Rule != "" {
		title += fmt.Sprintf(", rule %q", e.Rule)
	}
	if known {
		l.print("")
		l.print(l.paint(bold, title) + l.paint(dim, " (continued)"))
		return
	}
	l.print("")
	l.print(l.paint(bold, title))
	middle := 2*stateWidth + 5
	l.print(l.paint(dim, fitRight("time", timeWidth)+" client"+strings.Repeat(" ", legWidth-5)+
		center("tcpmitm", middle-2)+strings.Repeat(" ", legWidth-5)+"server"))
	// The middle is two endpoints, one for each leg; below are their states.
	l.row("", "", l.paint(dim, "its client"), l.paint(dim, "its server"), "")
	l.row("", "", l.paint(dim, "side"), l.paint(dim, "side"), "")
}

// pause draws a long time in which nothing happened.
func (l *Ladder) pause(d *drawn, e *Event) {
	if p := time.Duration(e.NS - d.last); p >= longPause {
		l.row("⋮", l.paint(dim, center(fmt.Sprintf("⋮  %.3f s pass  ⋮", p.Seconds()), legWidth)), "", "",
			l.paint(dim, center("⋮", legWidth)))
	}
}

// row prints one line. The cells fit their columns, or are shorter.
func (l *Ladder) row(at, client, clientState, serverState, server string) {
	bar, wall := l.paint(dim, "│"), l.paint(dim, "║")
	l.print(fitRight(at, timeWidth) + " " + bar + fitLeft(client, legWidth) + " " + fitRight(clientState, stateWidth) +
		" " + wall + " " + fitLeft(serverState, stateWidth) + " " + fitLeft(server, legWidth) + bar)
}

// closed draws the end of a connection: the verdict.
func (l *Ladder) closed(e *Event) {
	l.last = 0
	l.print(l.paint(bold, fmt.Sprintf("connection %d is over", e.Conn)) + " " + ending(e))
	for i, v := range [...]*LegVerdict{&e.Verdict.Client, &e.Verdict.Server} {
		name := [...]string{"client leg", "server leg"}[i]
		l.print(fmt.Sprintf("  %s %s %-10s  %s", name, fitLeft(v.Code, 2), v.State, v.phases()))
	}
	for _, f := range e.Verdict.Fired {
		l.print("  " + l.paint(yellow, fmt.Sprintf("▲ %d × %s", f.Count, f.Text)))
	}
}

// gap tells that something is missing in the picture.
func (l *Ladder) gap(text string) {
	l.last = 0
	l.print(l.paint(red, "... "+text))
}

// print writes a line. That the reader of the picture is gone is no reason to
// stop the gateway.
func (l *Ladder) print(line string) {
	_, _ = io.WriteString(l.out, strings.TrimRight(line, " ")+"\n")
}

// colour is an SGR code; see ECMA-48, 8.3.117.
type colour string

const (
	plain  colour = ""
	bold   colour = "1"
	dim    colour = "2"
	red    colour = "1;31"
	green  colour = "32"
	yellow colour = "1;33"
	cyan   colour = "36"
)

func (l *Ladder) paint(c colour, text string) string {
	if !l.opt.Colour || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// segmentColour tells the legs apart, and a RST from everything.
func segmentColour(e *Event) colour {
	switch {
	case e.Segment.has("RST"), e.Reason != "":
		return red
	case legIndex(e) == 0:
		return green
	}
	return cyan
}

// width is how many columns a text takes, its colours left out.
func width(text string) int {
	n := utf8.RuneCountInString(text)
	for rest := text; ; {
		i := strings.IndexByte(rest, '\x1b')
		if i < 0 {
			return n
		}
		j := strings.IndexByte(rest[i:], 'm')
		if j < 0 {
			return n
		}
		n -= j + 1
		rest = rest[i+j+1:]
	}
}

func fitLeft(text string, w int) string  { return text + strings.Repeat(" ", max(0, w-width(text))) }
func fitRight(text string, w int) string { return strings.Repeat(" ", max(0, w-width(text))) + text }

func center(text string, w int) string {
	left := max(0, w-width(text)) / 2
	return fitLeft(strings.Repeat(" ", left)+text, w)
}
