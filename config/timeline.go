package config

import (
	"fmt"
	"time"

	"tcpmitm/rules"
)

// Bounds of a rule's timeline.
const (
	maxSpans = 256
	maxStart = 10_000 * time.Hour
)

const timelineExample = `{ at = "30s", for = "10s" }`

// timeline reads when a rule is in force.
func (t *table) timeline() (out []rules.Span) {
	list := t.list("timeline", "["+timelineExample+"]")
	if len(list) > maxSpans {
		t.wrong("timeline", "has %d elements, of which there may be %d", len(list), maxSpans)
		return nil
	}
	for i, v := range list {
		name := fmt.Sprintf("timeline entry %d of %s", i+1, t.name)
		values, ok := v.(map[string]any)
		if !ok {
			t.add(t.element("timeline", i), `%s must be a table, for example %s, not %s`, name, timelineExample, kind(v))
			continue
		}
		row := t.row("timeline", i, name, values)
		before := len(t.found)
		var s rules.Span
		row.must("at", `say when, counted from the start, for example at = "30s"`)
		row.duration("at", &s.At, 0, maxStart)
		row.duration("for", &s.For, minDelay, maxStart)
		row.done()
		if len(t.found) > before {
			continue
		}
		if n := len(out); n > 0 {
			switch last := out[n-1]; {
			case last.For == 0:
				row.wrong("at", "the entry before has no end: give it for, or take this one out")
				continue
			case s.At < last.At+last.For:
				row.wrong("at", "%s is before the entry before it ends, at %s: must be later", short(s.At), short(last.At+last.For))
				continue
			}
		}
		out = append(out, s)
	}
	return out
}
