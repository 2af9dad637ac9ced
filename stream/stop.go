package stream

import "tcpmitm/endpoint"

// spiller is a holder that can hand on, as it came, what it holds; it tells
// whether that is all gone.
type spiller interface {
	holder
	spill(p *Pipeline, out *queue) bool
}

// Stop ends what the policies do: what is held is handed on as it came, at
// once and in order, and so is all that comes later. What has been changed
// stays changed, and a direction that a limit has ended stays ended.
func (p *Pipeline) Stop() { p.stopped = true }

// passOn is Run after Stop: it moves all that there is room for, the last
// stage first.
func (p *Pipeline) passOn() {
	p.next = endpoint.Never
	// Each round but the last moves an octet, or an end, nearer to the end.
	for moved := true; moved; {
		moved = false
		for i := len(p.stages) - 1; i >= 0; i-- {
			in, out := &p.queues[i], &p.queues[i+1]
			if s, ok := p.stages[i].(spiller); ok {
				before, _ := s.held()
				spilt := s.spill(p, out)
				after, _ := s.held()
				moved = moved || after != before
				if !spilt {
					continue
				}
			}
			for !in.empty() && !out.full() {
				it := in.take(in.octets)
				it.due, it.alone = 0, false
				out.push(it)
				moved = true
			}
			if in.finished() && !out.over {
				out.end(in.ending)
				moved = true
			}
		}
	}
}

func (s *literal) spill(p *Pipeline, out *queue) bool {
	if s.matched > 0 && out.full() {
		return false
	}
	out.give(p.pool, s.find[:s.matched])
	s.matched, s.wait.on = 0, false
	return true
}

func (s *pattern) spill(_ *Pipeline, out *queue) bool {
	s.kept.moveTo(out)
	return s.kept.empty()
}
