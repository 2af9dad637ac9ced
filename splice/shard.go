package splice

import (
	"sync/atomic"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/faults"
)

// Bounds of a shard, each in its unit.
const (
	// maxLingering is how many flows may be kept that are over but for
	// TIME-WAIT or a RST that may have to be repeated; beyond it the oldest
	// is forgotten.
	maxLingering = 1 << 15
	// mailboxSize is how many questions, and how many packets of other
	// shards, may wait.
	mailboxSize = 1024
	// maxRounds is how often one flow is looked at in one turn.
	maxRounds = 4
	// maxChunksPerTurn and maxSegmentsPerTurn are what one leg may move and
	// send in one turn before the other flows have theirs.
	maxChunksPerTurn   = 1024
	maxSegmentsPerTurn = 1024
)

// Shard is a share of all connections, with everything that belongs to them.
// See the package comment for who may call what.
type Shard struct {
	dev    Device
	opt    Options
	budget *Budget
	isn    *endpoint.ISNGenerator
	peers  []*Shard

	flows map[endpoint.Tuple]legRef
	// Each flow is in one of two lists: live ones, and those that linger.
	live, lingering chain[flow, *flow]
	waiting         waitingList // and what is left of connections in TIME-WAIT

	wheel    wheel
	profiles profiles
	memory   decisions
	cookies  cookieJar
	syns     synRecv
	repeats  synRepeats
	orphans  orphanage
	wire     faults.Wire // what the stages of all flows share
	draining bool
	started  endpoint.Time // what timelines count from
	counters Counters

	// dirty are the flows that want a turn; dirtySpare is the same slice of
	// the turn before, for reuse.
	dirty, dirtySpare []*flow
	// spareSYNs and spareOptions serve the opening of connections.
	spareSYNs    spares[endpoint.Segment]
	spareOptions spares[endpoint.Options]
	// spare is made for a new connection that was not to be one: a flood
	// makes no garbage.
	spare *flow

	// Scratch for what is passed through interfaces, so that nothing of it
	// is allocated each time. seg is what endpoints write into, reply what
	// the shard says itself.
	seg       endpoint.Segment
	segments  Observer         // who is told of segments; nil is nobody
	wires     WireObserver     // who is told of packets; nil is nobody
	taken     *endpoint.Packet // that is being handled
	acted     bool             // a fault has acted on it
	reply     endpoint.Segment
	event     SegmentEvent
	wireEvent WireEvent
	fault     FaultEvent
	host      stageHost

	questions chan question
	foreign   chan *foreignPacket
	stopped   chan struct{}
	isStopped atomic.Bool
}

// NewShard makes a shard on a device. It does nothing until Run is called, or
// the four methods that Run is made of.
func NewShard(dev Device, opt Options) *Shard {
	if opt.MTU == 0 {
		opt.MTU = defaultMTU
	}
	if opt.Budget == nil {
		opt.Budget = &Budget{}
	}
	if opt.Epoch.IsZero() {
		opt.Epoch = time.Now().Add(-time.Duration(dev.Now()))
	}
	s := &Shard{
		dev:       dev,
		opt:       opt,
		budget:    opt.Budget,
		isn:       endpoint.NewISNGenerator(opt.Secret),
		flows:     make(map[endpoint.Tuple]legRef),
		questions: make(chan question, mailboxSize),
		foreign:   make(chan *foreignPacket, mailboxSize),
		stopped:   make(chan struct{}),
	}
	opt.Budget.prepare(opt.Secret)
	s.wire.Pool = opt.Endpoint.Pool
	s.cookies.init(opt.Secret)
	s.Watch(!opt.EndsOnly)
	s.started = dev.Now()
	s.wheel.now = int64(s.started / tickLen)
	return s
}

// Connect tells shards of each other, in the order of their Index, so that a
// packet that the kernel gave to the wrong one finds its flow. It is called
// before any of them runs.
func Connect(shards []*Shard) {
	for _, s := range shards {
		s.peers = shards
	}
}

// markDirty notes that a flow wants its turn in Transmit.
func (s *Shard) markDirty(f *flow) {
	if !f.dirty && !f.gone {
		f.dirty = true
		s.dirty = append(s.dirty, f)
	}
}

// Transmit gives each flow that something has happened to its turn: bytes are
// moved and everything that is to be sent is sent. It is called after a whole
// burst of packets was handled, so that one ACK answers all of it (MUST-58,
// MUST-59).
func (s *Shard) Transmit(now endpoint.Time) {
	// A turn may make a flow dirty again (it had more to do than a turn may)
	// or another one (a new connection takes over an old one's tuple); these
	// have theirs in the next round.
	if len(s.dirty) > 0 {
		s.counters.Turns++
	}
	for round := 0; round < maxRounds && len(s.dirty) > 0; round++ {
		work := s.dirty
		s.dirty, s.dirtySpare = s.dirtySpare[:0], nil
		for i, f := range work {
			work[i] = nil
			f.dirty = false
			if !f.gone {
				s.settle(now, f)
			}
		}
		s.dirtySpare = work[:0]
	}
}

// HandleTimeouts tells every endpoint whose deadline has come, and carries
// out the flows' own deadlines. Transmit is to follow.
func (s *Shard) HandleTimeouts(now endpoint.Time) {
	s.wheel.advance(now, func(o sleeper) { o.timeout(now, s) })
}

// NextTimeout is when HandleTimeouts wants to be called, or the present if
// Transmit has left something to do.
func (s *Shard) NextTimeout() endpoint.Time {
	if len(s.dirty) > 0 {
		return 0
	}
	return s.wheel.next()
}

// timeout tells the flow's endpoints, and whatever else has a deadline, the
// time.
func (f *flow) timeout(now endpoint.Time, s *Shard) {
	s.markDirty(f)
	for l := range f.legs {
		if ep := f.legs[l].ep; ep != nil && !f.legs[l].vanished && ep.NextTimeout() <= now {
			ep.HandleTimeout(now)
		}
	}
	s.actTimeout(now, f)
	s.wireTimeout(now, f)
	if f.deadline <= now {
		f.deadline = endpoint.Never
		s.ownTimeout(now, f)
	}
}

// arm ends a flow's turn: its timer is set to the earliest of its deadlines.
func (s *Shard) arm(f *flow) {
	at := min(f.deadline, f.stage.Next(), f.pipes.next(), f.acts.next())
	for l := range f.legs {
		if ep := f.legs[l].ep; ep != nil && !f.legs[l].vanished {
			at = min(at, ep.NextTimeout())
		}
	}
	s.wheel.set(&f.timer, at)
	s.tally(f)
}
