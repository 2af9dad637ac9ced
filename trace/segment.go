package trace

import (
	"fmt"
	"strings"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// legIndex is 0 for the client leg and 1 for the server leg.
func legIndex(e *Event) int {
	if e.Leg == endpoint.Server.String() {
		return 1
	}
	return 0
}

// toTheRight tells in which direction a segment's arrow points: the client is
// on the left, the server on the right, and we are between.
func toTheRight(e *Event) bool { return (legIndex(e) == 0) != e.out() }

// arrowEnd says where an arrow ends.
type arrowEnd int

const (
	endThere    arrowEnd = iota // where it should
	endLost                     // on the way
	endHeld                     // on the way, for now
	endNotDrawn                 // the segment follows as an event of its own
)

// endOf says how far the segment of an event gets.
func endOf(e *Event) arrowEnd {
	switch {
	case e.Fault == nil:
		return endThere
	case e.Segment == nil:
		return endNotDrawn
	}
	switch {
	case e.Fault.Stream:
	case e.Fault.Do == rules.Lose.String(), e.Fault.Do == rules.Ignore.String():
		return endLost
	case e.Fault.holds():
		return endHeld
	}
	return endNotDrawn
}

// holds tells that a fault holds a segment back.
func (f *Fault) holds() bool {
	switch f.Do {
	case rules.Delay.String(), rules.Hold.String(), rules.Reorder.String():
		return !f.Stream
	}
	return false
}

// arrow draws a segment over the whole width of a leg's column, its header
// written on the shaft at the end where it starts.
func arrow(e *Event) string {
	text := header(e)
	// The shaft takes its head, a dash at either end, and two blanks.
	shaft := max(1, legWidth-width(text)-4)
	right := toTheRight(e)
	switch endOf(e) {
	case endLost:
		if n := max(1, shaft*2/3); right {
			return fitLeft("─ "+text+" "+strings.Repeat("─", n)+"✗", legWidth)
		} else {
			return fitRight("✗"+strings.Repeat("─", n)+" "+text+" ─", legWidth)
		}
	case endHeld:
		if n := max(1, shaft*2/3); right {
			return fitLeft("─ "+text+" "+strings.Repeat("╌", n)+"○", legWidth)
		} else {
			return fitRight("○"+strings.Repeat("╌", n)+" "+text+" ─", legWidth)
		}
	}
	if right {
		return "─ " + text + " " + strings.Repeat("─", shaft) + "▶"
	}
	return "◀" + strings.Repeat("─", shaft) + " " + text + " ─"
}

// fields are what a segment's header says, with relative numbers, the most
// important first.
func fields(e *Event) []string {
	s := e.Segment
	flags := "no flags"
	if len(s.Flags) > 0 {
		flags = strings.Join(s.Flags, ",")
	}
	parts := []string{flags, fmt.Sprintf("seq %d", s.RelativeSeq)}
	if s.has("ACK") {
		parts = append(parts, fmt.Sprintf("ack %d", s.RelativeAck))
	}
	if s.Len > 0 {
		parts = append(parts, fmt.Sprintf("len %d", s.Len))
	}
	if !s.has("RST") && e.Fault == nil {
		parts = append(parts, fmt.Sprintf("win %d", s.Window))
	}
	return parts
}

// header gives the fields of a segment. What does not fit is left out from the
// end, where it matters least.
func header(e *Event) string {
	parts := fields(e)
	for len(parts) > 2 && width(strings.Join(parts, " ")) > legWidth-5 {
		parts = parts[:len(parts)-1]
	}
	text := []rune(strings.Join(parts, " "))
	return string(text[:min(len(text), legWidth-5)])
}

// detail is a line below an arrow.
type detail struct {
	text   string
	colour colour
}

// details says what an arrow cannot: initial numbers and options of a SYN,
// what a rule has done, why a segment had no effect. A line has at most w
// columns.
func details(e *Event, w int) []detail {
	var out []detail
	add := func(c colour, text string) {
		for _, line := range wrap(text, w) {
			out = append(out, detail{line, c})
		}
	}
	if e.Segment.has("SYN") {
		add(bold, fmt.Sprintf("ISN %d", e.Segment.Seq)+e.Segment.Options.text())
	}
	if text := e.Segment.Options.sack(); text != "" {
		add(plain, text)
	}
	if e.Segment.Again {
		add(plain, "↻ sent before")
	}
	switch {
	case e.ByRule:
		add(yellow, "▲ "+e.Note)
	case e.Note != "":
		add(plain, "▲ "+e.Note)
	}
	if e.Reason != "" {
		add(red, "✗ no effect: "+e.Reason)
	}
	return out
}

// text lists what a SYN offers.
func (o *SegmentOptions) text() string {
	var s strings.Builder
	if o == nil {
		return ""
	}
	if o.MSS != nil {
		fmt.Fprintf(&s, " mss %d", *o.MSS)
	}
	if o.WindowScale != nil {
		fmt.Fprintf(&s, " ws %d", *o.WindowScale)
	}
	if o.SACKPermitted {
		s.WriteString(" sack")
	}
	if o.TSVal != nil {
		s.WriteString(" ts")
	}
	return s.String()
}

// sack lists the blocks of a SACK option.
func (o *SegmentOptions) sack() string {
	if o == nil || len(o.SACK) == 0 {
		return ""
	}
	var s strings.Builder
	s.WriteString("sack")
	for _, b := range o.SACK {
		fmt.Fprintf(&s, " %d-%d", b[0], b[1])
	}
	return s.String()
}

// faultText says what a fault did, and whose it is.
func faultText(e *Event) string {
	did := e.Fault.Do
	switch {
	case e.Fault.holds():
		did = "held back"
	case e.Fault.Do == rules.Lose.String() && !e.Fault.Stream:
		did = "lost"
	}
	if e.Fault.By != nil {
		did += " for " + pretty(*e.Fault.By)
	}
	return fmt.Sprintf("%s by rule %q: %s", did, e.Rule, e.Fault.Text)
}

// wrap breaks a text at blanks into lines of at most w columns; a longer word
// is cut.
func wrap(text string, w int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for width(word) > w {
			r := []rune(word)
			if line != "" {
				lines = append(lines, line)
				line = ""
			}
			lines = append(lines, string(r[:w]))
			word = string(r[w:])
		}
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= w:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
