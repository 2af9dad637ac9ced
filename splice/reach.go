package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/stream"
)

// came are the moments that a leg has come to, a bit for each, from
// rules.Established on. None is ever taken back.
type came uint8

func bitOf(moment rules.On) came { return 1 << (moment - rules.Established) }

// has tells whether a moment has come; what is no moment never has.
func (c came) has(on rules.On) bool { return on.Moment() && c&bitOf(on) != 0 }

// moments is the same in the words of package stream.
func (c came) moments() stream.Moments { return stream.Moments(c) << rules.Established }

// reach looks which moments a leg has come to. It is the one place that does,
// and is asked after each segment that the leg's endpoint was given, and
// whenever it has sent what it had to send. A stage is told at once, for it
// may keep segments until then, and what arrives next is past the moment. The
// pipelines, and the faults at moments, look at what has come when the flow
// has its turn.
func (s *Shard) reach(now endpoint.Time, f *flow, l endpoint.Leg, sent bool) {
	leg := &f.legs[l]
	news := leg.arrivedAt(sent) &^ leg.came
	if news == 0 {
		return
	}
	leg.came |= news
	s.markDirty(f)
	for m := rules.Established; f.stage != nil && m <= rules.HalfClosed; m++ {
		if news.has(m) {
			f.stage.Reach(now, l, m, s.hostOf(f))
		}
	}
}

// arrivedAt tells which moments the present state of a leg is behind. sent
// tells that the leg has sent what it had to send: a FIN of the peer's is
// acknowledged when its ACK has left.
func (l *leg) arrivedAt(sent bool) came {
	st := l.state()
	if st < endpoint.Established {
		return 0
	}
	c := bitOf(rules.Established)
	if l.record.firstByte != 0 {
		c |= bitOf(rules.FirstByte)
	}
	if l.record.finOut != 0 || l.record.finIn != 0 {
		c |= bitOf(rules.Closing)
	}
	if st == endpoint.FinWait2 || st == endpoint.CloseWait && sent {
		c |= bitOf(rules.HalfClosed)
	}
	return c
}
