package trace

import (
	"fmt"
	"strings"
)

// hexRow is how many octets a line of a dump shows.
const hexRow = 16

// octets prints what is known of a segment's octets below its arrow.
func (l *Ladder) octets(e *Event) {
	for _, part := range []struct {
		name  string
		data  []byte
		whole int
	}{{"header", e.Segment.Header, 0}, {"payload", e.Segment.Payload, e.Segment.Len}} {
		for _, row := range hexdump(part.data) {
			l.print(l.paint(dim, fitRight(part.name, timeWidth)+" "+row))
			part.name = ""
		}
		if n := part.whole - len(part.data); n > 0 && len(part.data) > 0 {
			l.print(l.paint(dim, fitRight("", timeWidth)+fmt.Sprintf(" ... and %d octets more", n)))
		}
	}
}

// hexdump shows octets as numbers and as text.
func hexdump(b []byte) []string {
	var rows []string
	for at := 0; at < len(b); at += hexRow {
		row := b[at:min(at+hexRow, len(b))]
		var numbers, text strings.Builder
		for i, c := range row {
			if i == hexRow/2 {
				numbers.WriteByte(' ')
			}
			fmt.Fprintf(&numbers, " %02x", c)
			if c < ' ' || c > '~' {
				c = '.'
			}
			text.WriteByte(c)
		}
		rows = append(rows, fmt.Sprintf("%04x %s  %s", at, fitLeft(numbers.String(), 3*hexRow+1), text.String()))
	}
	return rows
}
