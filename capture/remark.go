package capture

import (
	"fmt"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

// deeds say what a fault has done to the packet that the comment is on.
var deeds = map[rules.Do]string{
	rules.Delay: "held", rules.Lose: "dropped", rules.Duplicate: "duplicated", rules.Reorder: "reordered",
	rules.Corrupt: "corrupted", rules.Hold: "held", rules.Split: "split", rules.Rewrite: "rewritten",
	rules.Refuse: "refused", rules.Ignore: "ignored",
}

// remark says of a fault what it did, in the words of the rule.
func remark(e *splice.FaultEvent) string {
	deed := e.Do.String()
	if d, ok := deeds[e.Do]; ok {
		deed = d
	}
	if e.IsStream {
		deed = e.Stream.String()
	}
	if e.HasSegment && !e.Out {
		deed += " on arrival"
	}
	if e.By > 0 {
		deed += " " + e.By.Round(time.Microsecond).String()
	}
	text := fmt.Sprintf("%s by rule %s: %s", deed, e.Rule, e.Text)
	if e.IsStream {
		text += fmt.Sprintf(" (%d octets from %d on)", e.N, e.Position)
	}
	return text
}

// Bounds of what waits for a packet to be a comment on.
const (
	maxPairs    = 4096 // connections
	maxRemarks  = 16   // of one leg; further ones are counted
	maxTextSize = 1024 // octets of one comment
)

// remarks wait for a packet to be written on, by connection and leg.
type remarks struct {
	of map[pair]*[2]list
}

// list is what waits on one leg.
type list struct {
	faults []counted
	more   int
}

// counted is a fault, or the same several times.
type counted struct {
	fault
	times int
}

// add keeps a fault until its packet comes; false is that there is no room.
func (m *remarks) add(rec *record) bool {
	legs, ok := m.of[rec.pair]
	if !ok {
		if len(m.of) >= maxPairs {
			return false
		}
		if m.of == nil {
			m.of = map[pair]*[2]list{}
		}
		legs = &[2]list{}
		m.of[rec.pair] = legs
	}
	l, f := &legs[rec.leg], rec.fault
	for i := range l.faults {
		if c := &l.faults[i]; c.index == f.index && c.stream == f.stream && !f.onWire {
			c.times++
			c.text = f.text
			return true
		}
	}
	if len(l.faults) == maxRemarks {
		l.more++
		return true
	}
	l.faults = append(l.faults, counted{*f, 1})
	return true
}

// take returns what is to be written on a packet.
func (m *remarks) take(rec *record) []string {
	legs, ok := m.of[rec.pair]
	if !ok {
		return nil
	}
	l := &legs[rec.leg]
	text := l.take(func(f *fault) bool { return !f.stream || rec.out && rec.data }, rec.payload)
	if legs[0].empty() && legs[1].empty() {
		delete(m.of, rec.pair)
	}
	return text
}

// forget returns what no packet came for; rec is the end of the connection.
func (m *remarks) forget(p pair) (text [2][]string) {
	if legs, ok := m.of[p]; ok {
		for l := range legs {
			text[l] = legs[l].take(func(*fault) bool { return true }, 0)
		}
		delete(m.of, p)
	}
	return text
}

func (l *list) empty() bool { return len(l.faults)+l.more == 0 }

func (l *list) take(now func(*fault) bool, payload int) (text []string) {
	kept := l.faults[:0]
	for _, c := range l.faults {
		if now(&c.fault) {
			text = append(text, c.String(payload))
		} else {
			kept = append(kept, c)
		}
	}
	l.faults = kept
	if l.more > 0 && len(kept) == 0 {
		text = append(text, fmt.Sprintf("and %d more", l.more))
		l.more = 0
	}
	return text
}

// String is the comment. payload is that of the packet, which may be a
// super-segment of which the fault met a part.
func (c *counted) String(payload int) string {
	text := c.text
	if c.onWire && c.len > 0 && c.len < payload {
		text += fmt.Sprintf(" (octets %d to %d, relative)", c.seq, c.seq+uint32(c.len)-1)
	}
	if c.times > 1 {
		text += fmt.Sprintf(" (%d times, this the last)", c.times)
	}
	if len(text) > maxTextSize {
		text = text[:maxTextSize]
	}
	return text
}

// legNames are those of the interfaces.
var legNames = [2]string{endpoint.Client.String(), endpoint.Server.String()}
