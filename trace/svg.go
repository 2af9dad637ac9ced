package trace

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Where things stand in a picture, in pixels.
const (
	svgWidth   = 1200
	xTime      = 92 // right edge of the times
	xClient    = 118
	xLeft      = 508 // our endpoint towards the client
	xRight     = 692 // our endpoint towards the server
	xServer    = 1082
	yTop       = 128
	slope      = 9  // how far an arrow falls from one side to the other
	rowGap     = 30 // between arrows of one leg
	stepGap    = 13 // between times
	lineHeight = 14
	barWidth   = 8
	svgWrap    = 56 // characters of a remark
)

// What is drawn in which colour.
const (
	inkText   = "#1f2937"
	inkDim    = "#6b7280"
	inkRule   = "#d1d5db"
	inkClient = "#15803d"
	inkServer = "#0e7490"
	inkLost   = "#dc2626"
	inkFault  = "#b45309"
	fillFault = "#fef3c7"
	fillMITM  = "#f3f4f6"
)

// stateFill gives each state of an endpoint its colour.
var stateFill = map[string]string{
	"LISTEN": "#93c5fd", "SYN-SENT": "#93c5fd", "SYN-RECV": "#93c5fd", "ESTAB": "#4ade80",
	"FIN-WAIT-1": "#fb923c", "FIN-WAIT-2": "#fb923c", "CLOSE-WAIT": "#fb923c", "CLOSING": "#fb923c", "LAST-ACK": "#fb923c",
	"TIME-WAIT": "#c4b5fd", "UNCONN": "#d1d5db",
}

// canvas is a picture in the making.
type canvas struct {
	under   strings.Builder // what lies below all texts
	body    strings.Builder
	y       float64    // of the last event
	bottom  [2]float64 // of each leg's lane
	began   int64
	last    int64
	states  [2]string
	since   [2]float64 // where the state's bar begins
	pending []held
}

// held is a segment that was held back, until it goes on.
type held struct {
	event *Event
	x, y  float64
}

// maxPending bounds how many are remembered; an older one slopes no more.
const maxPending = 64

// WriteSVG writes the picture as a file of its own: no script, no font and no
// style from elsewhere.
func (p *Picture) WriteSVG(out io.Writer) error {
	c := &canvas{y: yTop, bottom: [2]float64{yTop, yTop}, began: p.first().NS, last: p.first().NS}
	for _, e := range p.events() {
		if e == nil {
			c.gap(fmt.Sprintf("%d events are left out here", p.left))
			continue
		}
		c.event(e)
	}
	if p.missing > 0 {
		c.gap(fmt.Sprintf("%d events are missing: they came faster than they were read", p.missing))
	}
	floor := max(c.bottom[0], c.bottom[1], c.y) + 24
	for leg := range c.states {
		c.stateBar(leg, floor)
	}
	height := floor + 24
	var foot strings.Builder
	if p.end != nil {
		height += verdictBox(&foot, p.end, floor+28)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %d %.0f" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="11.5" fill="%s">`+"\n",
		svgWidth, height, svgWidth, height, inkText)
	fmt.Fprintf(&s, `<rect width="%d" height="%.0f" fill="#ffffff"/>`+"\n", svgWidth, height)
	heading(&s, p.first(), floor)
	s.WriteString(c.under.String())
	s.WriteString(c.body.String())
	s.WriteString(foot.String())
	s.WriteString("</svg>\n")
	_, err := io.WriteString(out, s.String())
	return err
}

// heading draws the title, the three columns and their lines.
func heading(s *strings.Builder, e *Event, floor float64) {
	title := fmt.Sprintf("connection %d: %v → %v", e.Conn, e.Client, e.Server)
	if e.Rule != "" {
		title += fmt.Sprintf(", rule “%s”", e.Rule)
	}
	text(s, xClient, 34, `font-size="17" font-weight="bold"`, title)
	text(s, xClient, 54, `fill="`+inkDim+`"`, "two TCP connections, one clock: sequence numbers are relative, ISNs stand below the SYNs, times are in seconds")
	fmt.Fprintf(s, `<rect x="%d" y="%d" width="%d" height="%.0f" rx="8" fill="%s"/>`+"\n", xLeft-16, yTop-44, xRight-xLeft+32, floor-yTop+52, fillMITM)
	head := func(x int, name, below string) {
		text(s, float64(x), yTop-26, `text-anchor="middle" font-size="14" font-weight="bold"`, name)
		text(s, float64(x), yTop-11, `text-anchor="middle" fill="`+inkDim+`"`, below)
	}
	head(xClient, "client", e.Client.String())
	head((xLeft+xRight)/2, "tcpmitm", "")
	text(s, xLeft, yTop-11, `fill="`+inkDim+`"`, "client leg")
	text(s, xRight, yTop-11, `text-anchor="end" fill="`+inkDim+`"`, "server leg")
	head(xServer, "server", e.Server.String())
	for _, x := range []int{xClient, xServer} {
		fmt.Fprintf(s, `<line x1="%d" y1="%d" x2="%d" y2="%.0f" stroke="%s" stroke-width="2"/>`+"\n", x, yTop, x, floor, inkRule)
	}
}

// place finds where an event stands: below all before it, and below what is in
// its lane. Time adds to the distance by its order of magnitude.
func (c *canvas) place(e *Event) float64 {
	passed := time.Duration(e.NS - c.last)
	c.last = max(c.last, e.NS)
	if passed >= longPause {
		c.pause(passed)
	}
	grow := 0.0
	if passed > 50*time.Microsecond {
		grow = min(24, 6*math.Log10(float64(passed)/float64(50*time.Microsecond)))
	}
	leg := legIndex(e)
	c.y = max(c.y+stepGap+grow, c.bottom[leg]+rowGap)
	return c.y
}

func (c *canvas) pause(d time.Duration) {
	y := max(c.bottom[0], c.bottom[1], c.y) + 30
	c.gapAt(y, fmt.Sprintf("%s pass", pretty(float64(d)/float64(time.Millisecond))))
}

func (c *canvas) gap(what string) { c.gapAt(max(c.bottom[0], c.bottom[1], c.y)+30, what) }

// gapAt draws that time or events are left out.
func (c *canvas) gapAt(y float64, what string) {
	for _, x := range []float64{xClient, xServer} {
		fmt.Fprintf(&c.body, `<path d="M%.0f %.1f l-5 5 l10 6 l-10 6 l5 5" fill="none" stroke="%s" stroke-width="2"/>`+"\n", x, y-11, inkDim)
	}
	for _, x := range []float64{(xClient + xLeft) / 2, (xRight + xServer) / 2} {
		text(&c.body, x, y+4, `text-anchor="middle" font-style="italic" fill="`+inkDim+`"`, what)
	}
	c.y = y + 6
	c.bottom = [2]float64{y + 10, y + 10}
}

func (c *canvas) event(e *Event) {
	if e.Segment == nil && e.Fault == nil {
		return
	}
	y := c.place(e)
	text(&c.body, xTime, y+4, `text-anchor="end" fill="`+inkDim+`"`, fmt.Sprintf("%.6f", time.Duration(e.NS-c.began).Seconds()))
	leg := legIndex(e)
	c.bottom[leg] = y + slope
	if e.State != nil && e.State.After != c.states[leg] {
		c.stateBar(leg, y)
		c.states[leg], c.since[leg] = e.State.After, y
	}
	switch {
	case e.Segment != nil && endOf(e) != endNotDrawn:
		c.arrow(e, y)
	case e.Segment == nil && e.Fault.holds() && e.out():
		c.decided(e, y)
	default:
		c.bottom[leg] = y - lineHeight
	}
	for _, d := range svgDetails(e) {
		c.remark(leg, d)
	}
}

// stateBar draws a leg's state from where it began down to y, and its name.
func (c *canvas) stateBar(leg int, y float64) {
	state, from := c.states[leg], c.since[leg]
	if state == "" {
		return
	}
	x, tx, anchor := float64(xLeft), float64(xLeft+barWidth+4), "start"
	if leg == 1 {
		x, tx, anchor = xRight-barWidth, xRight-barWidth-4, "end"
	}
	fmt.Fprintf(&c.body, `<rect x="%.0f" y="%.1f" width="%d" height="%.1f" fill="%s"/>`+"\n", x, from, barWidth, max(0, y-from), stateFill[state])
	text(&c.body, tx, from+4, `font-size="10.5" font-weight="bold" text-anchor="`+anchor+`"`, state)
}

// ink is the colour of an arrow.
func ink(e *Event) string {
	switch {
	case endOf(e) == endLost || e.Segment.has("RST") || e.Reason != "":
		return inkLost
	case endOf(e) == endHeld || e.ByRule:
		return inkFault
	case legIndex(e) == 0:
		return inkClient
	}
	return inkServer
}

// arrow draws a segment: it leaves one side at one moment and reaches the
// other at a later one.
func (c *canvas) arrow(e *Event, y float64) {
	x1, x2 := float64(xClient), float64(xLeft)
	if legIndex(e) == 1 {
		x1, x2 = xServer, xRight
	}
	y1, y2 := y-slope, y // it came
	if e.out() {
		x1, x2, y1, y2 = x2, x1, y, y+slope
	}
	colour := ink(e)
	switch endOf(e) {
	case endLost:
		x2, y2 = x1+(x2-x1)*0.8, y1+(y2-y1)*0.8
		cross(&c.body, x2, y2)
	case endHeld:
		x2, y2 = x1+(x2-x1)*0.8, y1+(y2-y1)*0.8
		fmt.Fprintf(&c.body, `<circle cx="%.1f" cy="%.1f" r="4" fill="#ffffff" stroke="%s" stroke-width="1.6"/>`+"\n", x2, y2, colour)
		c.hold(held{e, x2, y2})
		x2 -= math.Copysign(4, x2-x1)
	default:
		if h, ok := c.release(e); ok {
			// It slopes from where it was held.
			fmt.Fprintf(&c.under, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="1.4" stroke-dasharray="3 4"/>`+"\n", h.x, h.y+4, x2, y2, inkFault)
		}
		head(&c.body, x1, y1, x2, y2, colour)
	}
	dash := ""
	if endOf(e) == endHeld {
		dash = ` stroke-dasharray="6 4"`
	}
	fmt.Fprintf(&c.body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="1.6"%s/>`+"\n", x1, y1, x2, y2, colour, dash)
	c.label(e, y1, y2, colour)
}

// label writes the header's fields along the arrow.
func (c *canvas) label(e *Event, y1, y2 float64, colour string) {
	mid := float64(xClient+xLeft) / 2
	if legIndex(e) == 1 {
		mid = float64(xRight+xServer) / 2
	}
	y := (y1 + y2) / 2
	angle := math.Atan(slope/float64(xLeft-xClient)) * 180 / math.Pi
	if !toTheRight(e) {
		angle = -angle
	}
	text(&c.body, mid, y-4, fmt.Sprintf(`text-anchor="middle" fill="%s" transform="rotate(%.2f %.1f %.1f)"`, colour, angle, mid, y-4), strings.Join(fields(e), " "))
}

func (c *canvas) hold(h held) {
	if len(c.pending) == maxPending {
		c.pending = c.pending[1:]
	}
	c.pending = append(c.pending, h)
}

// decided draws that a segment that would leave now is held before it is made.
func (c *canvas) decided(e *Event, y float64) {
	x := float64(xLeft - 12)
	if legIndex(e) == 1 {
		x = xRight + 12
	}
	fmt.Fprintf(&c.body, `<circle cx="%.1f" cy="%.1f" r="4" fill="#ffffff" stroke="%s" stroke-width="1.6"/>`+"\n", x, y, inkFault)
	c.hold(held{e, x, y})
}

// release finds where a segment that goes on now was held.
func (c *canvas) release(e *Event) (h held, ok bool) {
	for i, h := range c.pending {
		if h.becomes(e) {
			c.pending = append(c.pending[:i], c.pending[i+1:]...)
			return h, true
		}
	}
	return held{}, false
}

// becomes tells whether e is the segment that was held. One that was held
// before it was made is the next of which a rule says so.
func (h *held) becomes(e *Event) bool {
	was, is := h.event.Segment, e.Segment
	switch {
	case h.event.Leg != e.Leg || h.event.Dir != e.Dir:
		return false
	case was == nil:
		return e.ByRule
	}
	return was.Seq == is.Seq && was.Len == is.Len && was.has("FIN") == is.has("FIN") && was.has("SYN") == is.has("SYN")
}

// remark writes a line below an arrow, on paper of its own if a fault says it.
func (c *canvas) remark(leg int, d detail) {
	x := float64(xClient+xLeft) / 2
	if leg == 1 {
		x = float64(xRight+xServer) / 2
	}
	colour := map[colour]string{yellow: inkFault, red: inkLost, bold: inkText, plain: inkDim}[d.colour]
	weight := ""
	if d.colour == bold {
		weight = ` font-weight="bold"`
	}
	c.bottom[leg] += lineHeight
	if d.colour == yellow {
		w := float64(width(d.text))*7 + 12
		fmt.Fprintf(&c.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="3" fill="%s"/>`+"\n", x-w/2, c.bottom[leg]-lineHeight+3.5, w, lineHeight, fillFault)
	}
	text(&c.body, x, c.bottom[leg], `text-anchor="middle" font-size="11" fill="`+colour+`"`+weight, d.text)
}

// svgDetails are the remarks of an event.
func svgDetails(e *Event) []detail {
	var out []detail
	add := func(col colour, text string) {
		for _, line := range wrap(text, svgWrap) {
			out = append(out, detail{line, col})
		}
	}
	if e.Type == TypeFault {
		add(yellow, faultText(e))
		return out
	}
	return details(e, svgWrap)
}

// head draws an arrow's head at its end.
func head(s *strings.Builder, x1, y1, x2, y2 float64, colour string) {
	const length, half = 9, 4
	n := math.Hypot(x2-x1, y2-y1)
	dx, dy := (x2-x1)/n, (y2-y1)/n
	fmt.Fprintf(s, `<path d="M%.1f %.1f L%.1f %.1f L%.1f %.1f Z" fill="%s"/>`+"\n", x2, y2,
		x2-length*dx-half*dy, y2-length*dy+half*dx, x2-length*dx+half*dy, y2-length*dy-half*dx, colour)
}

// cross ends an arrow that goes nowhere.
func cross(s *strings.Builder, x, y float64) {
	const half = 6
	fmt.Fprintf(s, `<path d="M%.1f %.1f l%d %d m0 -%d l-%d %d" fill="none" stroke="%s" stroke-width="2.6"/>`+"\n", x-half, y-half, 2*half, 2*half, 2*half, 2*half, 2*half, inkLost)
}

// verdictBox draws what there is to say at the end, and returns its height.
func verdictBox(s *strings.Builder, e *Event, y float64) float64 {
	const margin, columns = 24, 150
	v := e.Verdict
	at := y + 22
	text(s, margin+16, at, `font-weight="bold"`, fmt.Sprintf("over after %.3f s: closed first by %s (%s); %d octets to the server, %d to the client",
		v.Seconds, v.ClosedBy, v.How, v.ToServer, v.ToClient))
	for i, leg := range [...]*LegVerdict{&v.Client, &v.Server} {
		name, colour := "client leg", inkClient
		if i == 1 {
			name, colour = "server leg", inkServer
		}
		at += 8
		text(s, margin+16, at+16, `font-weight="bold" fill="`+colour+`"`, name+" "+leg.Code)
		for _, line := range wrap(leg.phases(), columns) {
			at += 16
			text(s, 160, at, `font-size="10.5"`, line)
		}
	}
	for _, f := range v.Fired {
		at += 20
		text(s, margin+16, at, `font-weight="bold" fill="`+inkFault+`"`, fmt.Sprintf("▲ %d × %s", f.Count, f.Text))
	}
	height := at + 16 - y
	fmt.Fprintf(s, `<rect x="%d" y="%.0f" width="%d" height="%.0f" rx="8" fill="none" stroke="%s"/>`+"\n", margin, y, svgWidth-2*margin, height, inkRule)
	return height + 28
}

var svgEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// text writes a text at a place.
func text(s *strings.Builder, x, y float64, attributes, content string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, attributes, svgEscape.Replace(content))
}
