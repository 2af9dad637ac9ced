package trace

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
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

// ladder draws. It belongs to one goroutine.
type ladder struct {
	out    io.Writer
	colour bool
	conns  map[uint64]*drawn
	order  []uint64 // of conns, oldest first
	last   uint64   // the connection of the last line
}

// drawn is what the ladder remembers of a connection.
type drawn struct {
	began, last endpoint.Time
	state       [2]endpoint.State // as last shown
}

func newLadder(out io.Writer, colour bool) *ladder {
	return &ladder{out: out, colour: colour, conns: map[uint64]*drawn{}}
}

// segment draws one segment: its arrow, and below it what has to be said.
func (l *ladder) segment(e *splice.SegmentEvent) {
	d := l.of(e)
	l.pause(d, e)
	d.last = max(d.last, e.At)

	var lines [][2]string // of the leg and of the state
	state := ""
	if e.After != d.state[e.Leg] {
		state = e.After.SS()
		d.state[e.Leg] = e.After
	}
	lines = append(lines, [2]string{l.paint(legColour(e), arrow(e)), l.paint(bold, state)})
	for _, line := range details(e) {
		text := fitLeft(strings.Repeat(" ", 3)+line.text, legWidth)
		lines = append(lines, [2]string{l.paint(line.colour, text), ""})
	}
	at := l.paint(dim, fmt.Sprintf("%*.6f", timeWidth, e.At.Sub(d.began).Seconds()))
	for _, line := range lines {
		leg, state := line[0], line[1]
		if e.Leg == endpoint.Client {
			l.row(at, leg, state, "", "")
		} else {
			l.row(at, "", "", state, leg)
		}
		at = ""
	}
}

// of returns what is remembered of an event's connection. A new one, and one
// that other connections have interrupted, gets a heading.
func (l *ladder) of(e *splice.SegmentEvent) *drawn {
	d, known := l.conns[e.Conn]
	if !known {
		if len(l.order) == maxPictured {
			delete(l.conns, l.order[0])
			l.order = l.order[1:]
		}
		d = &drawn{began: e.At, last: e.At}
		l.conns[e.Conn] = d
		l.order = append(l.order, e.Conn)
	}
	if !known || l.last != e.Conn {
		l.heading(e, known)
	}
	l.last = e.Conn
	return d
}

func (l *ladder) heading(e *splice.SegmentEvent, known bool) {
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
func (l *ladder) pause(d *drawn, e *splice.SegmentEvent) {
	if p := e.At.Sub(d.last); p >= longPause {
		l.row("⋮", l.paint(dim, center(fmt.Sprintf("⋮  %.3f s pass  ⋮", p.Seconds()), legWidth)), "", "",
			l.paint(dim, center("⋮", legWidth)))
	}
}

// row prints one line. The cells fit their columns, or are shorter.
func (l *ladder) row(at, client, clientState, serverState, server string) {
	bar, wall := l.paint(dim, "│"), l.paint(dim, "║")
	l.print(fitRight(at, timeWidth) + " " + bar + fitLeft(client, legWidth) + " " + fitRight(clientState, stateWidth) +
		" " + wall + " " + fitLeft(serverState, stateWidth) + " " + fitLeft(server, legWidth) + bar)
}

// closed draws the end of a connection.
func (l *ladder) closed(s *splice.Summary) {
	l.last = 0
	l.print(l.paint(bold, fmt.Sprintf("connection %d is over", s.Conn)) + " " + ending(s))
}

func ending(s *splice.Summary) string {
	text := fmt.Sprintf("after %.3f s: %d octets to the server, %d to the client; closed first by %s (%s); client leg %s, server leg %s",
		s.Duration.Seconds(), s.ToServer, s.ToClient, s.FirstClose, how(s.How), s.ClientState.SS(), s.ServerState.SS())
	if s.Rule != "" {
		text += fmt.Sprintf("; rule %q", s.Rule)
	}
	return text
}

// gap tells that something is missing in the picture.
func (l *ladder) gap(text string) {
	l.last = 0
	l.print(l.paint(red, "... "+text))
}

// print writes a line. That the reader of the picture is gone is no reason to
// stop the gateway.
func (l *ladder) print(line string) {
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

func (l *ladder) paint(c colour, text string) string {
	if !l.colour || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// legColour tells the legs apart, and a RST from everything.
func legColour(e *splice.SegmentEvent) colour {
	switch {
	case e.Flags.Has(endpoint.RST), e.Reason != endpoint.ReasonNone:
		return red
	case e.Leg == endpoint.Client:
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
