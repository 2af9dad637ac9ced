package stream

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Bounds of what one pipeline holds; see the package comment.
const (
	maxHeld       = 4 << 20  // octets
	scarceHeld    = 64 << 10 // octets, while the pool is full
	maxHeldChunks = 1 << 12
	// maxActs is how many acts may wait to be asked for, and maxActsEach how
	// often one policy tells of itself in one connection.
	maxActs     = 64
	maxActsEach = 16
)

// stage is one connection's share of one policy.
type stage interface {
	// run moves octets from in to out as far as now, and the room in out,
	// allow. It returns when it wants to be run again though nothing has come
	// and no room was made: Never if it waits for nothing but that.
	run(p *Pipeline, now endpoint.Time, in, out *queue) endpoint.Time
}

// deep is a stage before which much may wait.
type deep interface{ deep() bool }

// holder is a stage that holds octets beside those in its queues.
type holder interface {
	held() (octets, chunks int)
	release()
}

// Pipeline is what one direction of one connection passes through.
type Pipeline struct {
	plan    *Plan
	pool    *endpoint.Pool
	ordinal uint64
	making  int // which stage New makes

	stages []stage
	queues []queue // before each stage, and behind the last
	next   endpoint.Time
	passed Moments

	stopped bool // see Stop

	acts []Act
}

// Act is what one policy has done to one connection.
type Act struct {
	Policy int    // which of the rule's policies, from 0
	At     uint64 // the octet it did it to: position in the stream as the policy sees it
	Octets int    // how many octets it did it to, where that says something
}

// Moments are things that have happened to the leg that the octets go to:
// bit 1<<m for each of the moments m of package rules.
type Moments uint32

// Of makes Moments of some.
func Of(list ...rules.On) (m Moments) {
	for _, on := range list {
		m |= 1 << on
	}
	return m
}

// Moments tells of what has happened; a moment is told once or often.
func (p *Pipeline) Moments(m Moments) { p.passed |= m }

// Held is how many octets the pipeline holds, in how many chunks.
func (p *Pipeline) Held() (octets, chunks int) {
	for i := range p.queues {
		octets += p.queues[i].octets
		chunks += p.queues[i].len()
	}
	for _, s := range p.stages {
		if h, ok := s.(holder); ok {
			o, c := h.held()
			octets, chunks = octets+o, chunks+c
		}
	}
	return octets, chunks
}

// Space is how many octets may be pushed.
func (p *Pipeline) Space() int {
	if p.queues[0].over || p.queues[0].full() {
		return 0
	}
	octets, chunks := p.Held()
	limit := maxHeld
	if p.pool != nil && p.pool.Full() {
		limit = scarceHeld
	}
	if chunks >= maxHeldChunks {
		return 0
	}
	return max(0, min(limit-octets, p.queues[0].maxOctets-p.queues[0].octets))
}

// crowded tells that no more is taken in before something goes.
func (p *Pipeline) crowded() bool {
	octets, chunks := p.Held()
	if p.pool != nil && p.pool.Full() && octets >= scarceHeld {
		return true
	}
	return octets >= maxHeld || chunks >= maxHeldChunks
}

// Push takes a chunk over. Octets pushed behind the end are dropped.
func (p *Pipeline) Push(c endpoint.Chunk) { p.queues[0].push(item{chunk: c}) }

// Close says that the source has closed: nothing will be pushed any more.
func (p *Pipeline) Close() { p.queues[0].end(rules.EndFIN) }

// Run lets the policies work.
func (p *Pipeline) Run(now endpoint.Time) {
	if p.stopped {
		p.passOn()
		return
	}
	// Each round but the last moves an octet nearer to the end, and what is
	// in the queues is bounded; so the rounds end.
	for moved := true; moved; {
		moved = false
		p.next = endpoint.Never
		for i, s := range p.stages {
			in, out := &p.queues[i], &p.queues[i+1]
			before, items, over := in.octets, out.octets, out.over
			p.next = min(p.next, s.run(p, now, in, out))
			moved = moved || in.octets != before || out.octets != items || out.over != over
		}
	}
}

// NextTimeout is when Run wants to be called again even if nothing has come
// and nothing was pulled.
func (p *Pipeline) NextTimeout() endpoint.Time { return p.next }

// Ready tells whether Pull would return something, and whether that wants a
// segment of its own.
func (p *Pipeline) Ready() (ready, alone bool) {
	q := &p.queues[len(p.queues)-1]
	if q.empty() {
		return false, false
	}
	return true, q.at(0).alone
}

// Pull hands out the next run of octets, limit at most, and tells whether it
// wants a segment of its own. The caller owns the chunk.
func (p *Pipeline) Pull(limit int) (c endpoint.Chunk, alone, ok bool) {
	q := &p.queues[len(p.queues)-1]
	if q.empty() || limit <= 0 {
		return endpoint.Chunk{}, false, false
	}
	it := q.take(limit)
	return it.chunk, it.alone, true
}

// Ended tells that the last octet was pulled, and how the direction ends.
func (p *Pipeline) Ended() (rules.Ending, bool) {
	q := &p.queues[len(p.queues)-1]
	return q.ending, q.finished()
}

// Acts returns what the policies have done since the last call; the list is
// valid until the next Run. Each policy tells of itself maxActsEach times at
// most, and those that act on all octets alike do so once.
func (p *Pipeline) Acts() []Act {
	list := p.acts
	p.acts = p.acts[:0]
	return list
}

// reporter counts how often a policy has told of itself.
type reporter struct {
	policy int
	told   int
}

// reporter makes that of the stage that is being made.
func (p *Pipeline) reporter() reporter { return reporter{policy: p.plan.index[p.making]} }

func (r *reporter) tell(p *Pipeline, at uint64, n int) {
	if r.told < maxActsEach && len(p.acts) < maxActs {
		r.told++
		p.acts = append(p.acts, Act{Policy: r.policy, At: at, Octets: n})
	}
}

func (r *reporter) tellOnce(p *Pipeline, at uint64, n int) {
	if r.told == 0 {
		r.tell(p, at, n)
	}
}

// Release gives back all that is held. The pipeline must not be used after.
func (p *Pipeline) Release() {
	for i := range p.queues {
		p.queues[i].release()
		p.queues[i].end(rules.EndFIN)
	}
	for _, s := range p.stages {
		if h, ok := s.(holder); ok {
			h.release()
		}
	}
	p.next = endpoint.Never
}
