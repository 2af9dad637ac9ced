package trace

import (
	"fmt"
	"strings"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

var flagNames = [...]struct {
	flag endpoint.Flags
	name string
}{
	{endpoint.SYN, "SYN"}, {endpoint.FIN, "FIN"}, {endpoint.RST, "RST"}, {endpoint.PSH, "PSH"},
	{endpoint.ACK, "ACK"}, {endpoint.URG, "URG"}, {endpoint.ECE, "ECE"}, {endpoint.CWR, "CWR"},
}

func flagText(f endpoint.Flags) string {
	var names []string
	for _, n := range flagNames {
		if f.Has(n.flag) {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return "no flags"
	}
	return strings.Join(names, ",")
}

// toTheRight tells in which direction a segment's arrow points: the client is
// on the left, the server on the right, and we are between.
func toTheRight(e *splice.SegmentEvent) bool { return (e.Leg == endpoint.Client) != e.Out }

// arrow draws a segment over the whole width of a leg's column, its header
// written on the shaft at the end where it starts.
func arrow(e *splice.SegmentEvent) string {
	text := header(e)
	// The shaft takes its head, a dash at either end, and two blanks.
	shaft := max(1, legWidth-width(text)-4)
	if toTheRight(e) {
		return "─ " + text + " " + strings.Repeat("─", shaft) + "▶"
	}
	return "◀" + strings.Repeat("─", shaft) + " " + text + " ─"
}

// header gives the fields of a segment, numbers relative to those of the SYNs.
// What does not fit is left out from the end, where it matters least.
func header(e *splice.SegmentEvent) string {
	from, to := e.IRS, e.ISS // of what arrives
	if e.Out {
		from, to = e.ISS, e.IRS
	}
	// Unsigned, because a leg may carry more than 2 GiB.
	parts := []string{flagText(e.Flags), fmt.Sprintf("seq %d", uint32(e.Seq-from))}
	if e.Flags.Has(endpoint.ACK) {
		parts = append(parts, fmt.Sprintf("ack %d", uint32(e.Ack-to)))
	}
	if e.Len > 0 {
		parts = append(parts, fmt.Sprintf("len %d", e.Len))
	}
	if !e.Flags.Has(endpoint.RST) {
		parts = append(parts, fmt.Sprintf("win %d", uint64(e.Window)<<e.Scale))
	}
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
// what a rule has done, why a segment had no effect.
func details(e *splice.SegmentEvent) []detail {
	var out []detail
	add := func(c colour, text string) {
		for _, line := range wrap(text, legWidth-3) {
			out = append(out, detail{line, c})
		}
	}
	if e.Flags.Has(endpoint.SYN) {
		add(bold, fmt.Sprintf("ISN %d", uint32(e.Seq))+options(&e.Options))
	}
	if n := e.Options.SACKBlocks; n > 0 {
		base := e.ISS
		if e.Out {
			base = e.IRS
		}
		var blocks strings.Builder
		for _, r := range e.Options.SACK[:n] {
			fmt.Fprintf(&blocks, " %d-%d", uint32(r.Start-base), uint32(r.End-base))
		}
		add(plain, "sack"+blocks.String())
	}
	if e.Note != "" {
		add(yellow, "▲ "+e.Note)
	}
	if e.Reason != endpoint.ReasonNone {
		add(red, "✗ no effect: "+e.Reason.String())
	}
	return out
}

// options lists what a SYN offers.
func options(o *endpoint.Options) string {
	var s strings.Builder
	if o.Has&endpoint.HasMSS != 0 {
		fmt.Fprintf(&s, " mss %d", o.MSS)
	}
	if o.Has&endpoint.HasWindowScale != 0 {
		fmt.Fprintf(&s, " ws %d", o.WindowScale)
	}
	if o.Has&endpoint.HasSACKPermitted != 0 {
		s.WriteString(" sack")
	}
	if o.Has&endpoint.HasTimestamps != 0 {
		s.WriteString(" ts")
	}
	return s.String()
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
