package splice

import (
	"errors"
	"fmt"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/stream"
)

// plans are what a rule's stream policies come to, by the leg that the octets
// go to; nil where there are none.
type plans [2]*stream.Plan

// pipelines are one connection's share of them.
type pipelines [2]*stream.Pipeline

// planOf compiles a rule's policies; it is nil if there are none.
func planOf(r *rules.Rule) *plans {
	p := &plans{
		stream.Compile(r.Streams, rules.Client, r.Seed),
		stream.Compile(r.Streams, rules.Server, r.Seed),
	}
	if p[0] == nil && p[1] == nil {
		return nil
	}
	return p
}

// pipelineTo is what the octets for a leg's peer pass through, or nil.
func (s *Shard) pipelineTo(f *flow, l endpoint.Leg) *stream.Pipeline {
	if f.profile.plans == nil {
		return nil
	}
	if f.pipes == nil {
		f.pipes = &pipelines{}
		for i, plan := range f.profile.plans {
			if plan != nil {
				f.pipes[i] = plan.New(s.opt.Endpoint.Pool, f.ordinal)
			}
		}
	}
	return f.pipes[l]
}

// carryThrough moves octets from leg l to the other one through a pipeline.
// What the pipeline has no room for stays in the receive buffer, as in carry.
func (s *Shard) carryThrough(now endpoint.Time, f *flow, l endpoint.Leg, p *stream.Pipeline) {
	from, to := &f.legs[l], &f.legs[l.Other()]
	if from.ep == nil || to.ep == nil || to.done() && !to.finPassed {
		return
	}
	p.Moments(to.came.moments())
	if f.by.Stopped() {
		p.Stop()
	}
	for moved := 0; ; {
		if moved >= maxChunksPerTurn {
			s.markDirty(f)
			break
		}
		n := takeIn(now, from, p)
		p.Run(now)
		n += s.handOut(now, f, l.Other(), p)
		if n == 0 && (p.Space() <= 0 || from.vanished || from.ep.Readable() == 0) {
			break // else what has moved within the pipeline has made room
		}
		moved += n
	}
	for _, act := range p.Acts() {
		s.reportPolicy(now, f, l.Other(), act)
	}
	if how, ok := p.Ended(); ok {
		s.endDirection(now, f, l, how)
	}
}

// takeIn pushes what a leg's peer has sent, and returns how many chunks.
func takeIn(now endpoint.Time, from *leg, p *stream.Pipeline) (n int) {
	for ; n < maxChunksPerTurn && !from.vanished; n++ {
		c, ok := from.ep.Read(now, p.Space())
		if !ok {
			break
		}
		p.Push(c)
	}
	if from.peerClosed && from.ep.Readable() == 0 {
		p.Close()
	}
	return n
}

// handOut writes what has come through to a leg, and returns how many chunks.
// A piece that wants a segment of its own is sent before the next is written.
func (s *Shard) handOut(now endpoint.Time, f *flow, l endpoint.Leg, p *stream.Pipeline) (n int) {
	to := &f.legs[l]
	for ; n < maxChunksPerTurn; n++ {
		ready, alone := p.Ready()
		if !ready {
			break
		}
		if alone && !s.flush(now, f, l) {
			break // its turn comes with the ACK, or the window, that this waits for
		}
		c, _, ok := p.Pull(to.ep.WriteSpace())
		if !ok {
			break
		}
		to.written += uint64(len(c.Data))
		s.counters.Octets[l] += uint64(len(c.Data))
		to.ep.Write(now, c)
		if alone {
			s.flush(now, f, l)
		}
	}
	return n
}

// flush sends what a leg has written and tells whether all of it has left.
func (s *Shard) flush(now endpoint.Time, f *flow, l endpoint.Leg) bool {
	to := &f.legs[l]
	if to.ep.Info().Unsent > 0 {
		s.send(now, f, l)
	}
	return to.ep.Info().Unsent == 0
}

// endDirection ends what leg l's peer sends as its pipeline says. A RST, or
// silence, waits until the receiver has acknowledged what came before it.
func (s *Shard) endDirection(now endpoint.Time, f *flow, l endpoint.Leg, how rules.Ending) {
	from, to := &f.legs[l], &f.legs[l.Other()]
	switch {
	case to.finPassed:
	case how == rules.EndFIN:
		if !from.peerClosed && f.firstClose == "" {
			f.firstClose, f.how = "tcpmitm", ByRule
		}
		to.finPassed = true
		to.ep.CloseWrite(now)
	case to.delivered() < to.written:
	case how == rules.EndReset:
		f.closed("tcpmitm", ByRule)
		s.abort(now, f, l)
		s.abort(now, f, l.Other())
	case how == rules.EndVanish:
		s.vanish(now, f, l)
		s.vanish(now, f, l.Other())
	}
}

// pipelineInto is what the octets for a leg's peer pass through now, or nil.
func (f *flow) pipelineInto(l endpoint.Leg) *stream.Pipeline {
	if f.pipes == nil {
		return nil
	}
	return f.pipes[l]
}

// checkPipeline looks for octets that could move and do not.
func checkPipeline(from, to *leg, p *stream.Pipeline) error {
	ready, alone := p.Ready()
	held, _ := p.Held()
	switch {
	case from.ep.Readable() > 0 && p.Space() > 0 && held == 0:
		// With octets in it the pipeline has its turn when they move; that
		// there is room before that may come from memory that another flow
		// has given back.
		return fmt.Errorf("%d octets are not taken in", from.ep.Readable())
	case ready && to.ep.WriteSpace() > 0 && !(alone && to.ep.Info().Unsent > 0):
		return errors.New("what has come through is not written")
	}
	return nil
}

// next is when the first of the pipelines wants to be run.
func (p *pipelines) next() endpoint.Time {
	at := endpoint.Never
	if p == nil {
		return at
	}
	for _, q := range p {
		if q != nil {
			at = min(at, q.NextTimeout())
		}
	}
	return at
}

// dropPipeline gives back what waits for a leg that will never take it.
func (f *flow) dropPipeline(l endpoint.Leg) {
	if f.pipes != nil && f.pipes[l] != nil {
		f.pipes[l].Release()
		f.pipes[l] = nil
	}
}

// dropPipelines gives back what the pipelines of a flow that is over hold.
func (f *flow) dropPipelines() {
	if f.pipes == nil {
		return
	}
	for _, p := range f.pipes {
		if p != nil {
			p.Release()
		}
	}
	f.pipes = nil
}

// reportPolicy tells the observer what a policy has done.
func (s *Shard) reportPolicy(now endpoint.Time, f *flow, l endpoint.Leg, act stream.Act) {
	policy := &f.by.Streams[act.Policy]
	f.by.FireStream(act.Policy)
	s.report(f, &FaultEvent{
		At:       now,
		Conn:     f.id,
		Client:   f.clientAddr(),
		Server:   f.serverAddr(),
		Rule:     f.profile.rule,
		Fault:    act.Policy,
		Text:     policy.String(),
		Leg:      l,
		Out:      true,
		IsStream: true,
		Stream:   policy.Do,
		Position: act.At,
		By:       policy.By,
		N:        act.Octets,
	})
}
