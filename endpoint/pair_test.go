package endpoint

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// pair is two endpoints joined by a link in virtual time.
type pair struct {
	t     *testing.T
	now   Time
	rng   *rand.Rand
	ends  [2]*Endpoint
	link  linkFaults
	queue flyingHeap
	order int
	sent  [2]bytes.Buffer // written by each end
	got   [2]bytes.Buffer // read by each end
	drops int
	log   func(string, ...any)
}

type linkFaults struct {
	delay     time.Duration
	jitter    time.Duration
	loss      float64
	duplicate float64
	// drop, if set, decides before chance does.
	drop func(from int, s *Segment) bool
}

type flying struct {
	at    Time
	order int
	to    int
	raw   []byte
}

type flyingHeap []flying

func (h flyingHeap) Len() int { return len(h) }
func (h flyingHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h flyingHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *flyingHeap) Push(x any)   { *h = append(*h, x.(flying)) }
func (h *flyingHeap) Pop() any     { o := *h; x := o[len(o)-1]; *h = o[:len(o)-1]; return x }

func testOpen(iss Seq) Open {
	return Open{ISS: iss, MSS: 1460, MTU: 1500, WindowScale: 7, SACK: true, Timestamps: true}
}

func newPair(t *testing.T, seed uint64, a, b Config, oa, ob Open, link linkFaults) *pair {
	p := &pair{t: t, now: Time(time.Second), rng: rand.New(rand.NewPCG(seed, 1)), link: link}
	p.ends[0] = NewActive(p.now, &a, oa)
	p.ends[1] = NewPassive(&b, ob)
	p.flush()
	return p
}

// flush polls both ends and puts what they send on the link, cut to packets.
func (p *pair) flush() {
	p.t.Helper()
	for i, e := range p.ends {
		var s Segment
		for n := 0; e.PollSegment(p.now, &s); n++ {
			if n > 10000 {
				p.t.Fatalf("end %d sends without end: %v %+v", i, s.Flags, e.Info())
			}
			p.transmit(i, &s)
		}
		if err := e.Verify(); err != nil {
			p.t.Fatalf("end %d at %v: %v", i, time.Duration(p.now), err)
		}
	}
}

func (p *pair) transmit(from int, s *Segment) {
	payload := bytes.Join(s.Pieces, nil)
	mss := s.MSS
	if mss == 0 {
		mss = max(len(payload), 1)
	}
	for first := true; first || len(payload) > 0; first = false {
		part := *s
		n := min(mss, len(payload))
		part.Pieces, part.Payload = nil, payload[:n]
		if n < len(payload) {
			part.Flags &^= FIN | PSH
		}
		if p.log != nil {
			p.log("%v end%d %v seq %d ack %d win %d len %d %v", time.Duration(p.now), from, part.Flags, part.Seq-p.ends[from].snd.iss, part.Ack-p.ends[from].rcv.irs, part.Window, n, part.Options.SACK[:part.Options.SACKBlocks])
		}
		raw := append(AppendHeader(nil, 1, 2, &part), payload[:n]...)
		payload = payload[n:]
		s.Seq = s.Seq.Plus(n)
		copies := 1
		if p.link.drop != nil && p.link.drop(from, &part) || p.rng.Float64() < p.link.loss {
			p.drops++
			copies = 0
		} else if p.rng.Float64() < p.link.duplicate {
			copies = 2
		}
		for ; copies > 0; copies-- {
			at := p.now.Add(p.link.delay)
			if p.link.jitter > 0 {
				at = at.Add(time.Duration(p.rng.Int64N(int64(p.link.jitter))))
			}
			p.order++
			heap.Push(&p.queue, flying{at: at, order: p.order, to: 1 - from, raw: raw})
		}
	}
}

// step advances to the next thing that happens; it tells whether there is one.
func (p *pair) step() bool {
	next := Never
	if len(p.queue) > 0 {
		next = p.queue[0].at
	}
	for _, e := range p.ends {
		next = earliest(next, e.NextTimeout())
	}
	if next == Never {
		return false
	}
	p.now = max(p.now, next)
	for len(p.queue) > 0 && p.queue[0].at <= p.now {
		f := heap.Pop(&p.queue).(flying)
		var s Segment
		if _, _, why := ParseSegment(f.raw, &s); why != ReasonNone {
			p.t.Fatalf("own segment does not parse: %v", why)
		}
		p.ends[f.to].HandleSegment(p.now, &s)
	}
	for _, e := range p.ends {
		e.HandleTimeout(p.now)
	}
	return true
}

func (p *pair) read(i, limit int) {
	for limit > 0 {
		c, ok := p.ends[i].Read(p.now, limit)
		if !ok {
			return
		}
		limit -= len(c.Data)
		p.got[i].Write(c.Data)
		c.Release()
	}
}

// run lets both ends transfer total octets each and close, then wants the
// same octets at the other end and both CLOSED.
func (p *pair) run(total [2]int, readLimit int) {
	p.t.Helper()
	closed := [2]bool{}
	for n := 0; ; n++ {
		for i, e := range p.ends {
			for e.state != Listen && !closed[i] && p.sent[i].Len() < total[i] && e.WriteSpace() > 0 {
				k := min(1+p.rng.IntN(20000), total[i]-p.sent[i].Len(), e.WriteSpace())
				data := make([]byte, k)
				for j := range data {
					data[j] = byte(p.rng.Uint32())
				}
				p.sent[i].Write(data)
				e.Write(p.now, NewChunk(data, nil))
			}
			if e.state != Listen && !closed[i] && p.sent[i].Len() == total[i] {
				e.CloseWrite(p.now)
				closed[i] = true
			}
			p.read(i, readLimit)
		}
		p.flush()
		if p.ends[0].state == Closed && p.ends[1].state == Closed {
			break
		}
		if n > 2_000_000 || p.now > Time(100*time.Hour) || !p.step() {
			p.t.Fatalf("stuck at %v after %d steps:\n%+v\n%+v", time.Duration(p.now), n, p.ends[0].Info(), p.ends[1].Info())
		}
	}
	for i := range p.ends {
		p.read(i, 1<<30)
		if !bytes.Equal(p.got[i].Bytes(), p.sent[1-i].Bytes()) {
			p.t.Fatalf("end %d got %d octets that differ from the %d sent", i, p.got[i].Len(), p.sent[1-i].Len())
		}
	}
}

func TestPairTransfers(t *testing.T) {
	links := map[string]linkFaults{
		"clean":     {delay: 5 * time.Millisecond},
		"instant":   {},
		"loss":      {delay: 5 * time.Millisecond, loss: 0.02},
		"heavyloss": {delay: 20 * time.Millisecond, loss: 0.15},
		"reorder":   {delay: 5 * time.Millisecond, jitter: 10 * time.Millisecond},
		"all":       {delay: 10 * time.Millisecond, jitter: 10 * time.Millisecond, loss: 0.05, duplicate: 0.05},
	}
	opts := map[string]func(*Open){
		"all":    func(*Open) {},
		"noSACK": func(o *Open) { o.SACK = false },
		"noTS":   func(o *Open) { o.Timestamps = false },
		"none":   func(o *Open) { o.SACK, o.Timestamps, o.WindowScale = false, false, -1 },
	}
	for ln, link := range links {
		for on, opt := range opts {
			for seed := range uint64(6) {
				t.Run(fmt.Sprintf("%s/%s/%d", ln, on, seed), func(t *testing.T) {
					cfg := DefaultConfig()
					cfg.MSL = time.Second
					cfg.Pool = NewPool(0)
					if seed == 1 {
						cfg.ReceiveBuffer, cfg.SendBuffer = 20000, 30000
						cfg.Congestion = "newreno"
					}
					a, b := testOpen(4294960000), testOpen(77)
					opt(&a)
					p := newPair(t, seed, cfg, cfg, a, b, link)
					p.run([2]int{300_000, 200_000}, 1<<30)
					for _, e := range p.ends {
						e.Release()
					}
					if n := cfg.Pool.InUse(); n != 0 {
						t.Fatalf("%d octets of buffers leaked", n)
					}
				})
			}
		}
	}
}

func TestPairSlowReader(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MSL = time.Second
	cfg.ReceiveBuffer = 8000
	p := newPair(t, 9, cfg, cfg, testOpen(1), testOpen(2), linkFaults{delay: time.Millisecond, loss: 0.01})
	p.run([2]int{100_000, 0}, 100)
}
