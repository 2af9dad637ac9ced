package netstack

import (
	"math/rand/v2"
	"time"

	"tcpmitm/endpoint"
)

// path is what a link does to packets, the same in both directions.
type path struct {
	delay time.Duration // one way
	rate  int           // bit/s; 0 for a link that takes no time to send
	queue int           // packets that wait for the link; more are dropped

	loss      float64
	reorder   float64       // part of the packets that are late
	late      time.Duration // by up to this
	duplicate float64
	corrupt   float64 // part of the packets of which one bit is wrong
}

// link is one direction of a path.
type link struct {
	w       *world
	rng     *rand.Rand
	path    path
	to      func(packet []byte)
	free    endpoint.Time // when the last packet in the queue has been sent
	drop    func(packet []byte) bool
	sent    int
	dropped int
}

// send puts a packet, which is the link's from now on, into the queue.
func (l *link) send(packet []byte) {
	w, p, r := l.w, &l.path, l.rng
	l.sent++
	// Every packet draws the same numbers, whatever becomes of it: two stacks
	// that are compared meet the same fate.
	loss, late, by, twice, bad := r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64()
	bit := r.IntN(8 * len(packet))
	now := w.time()
	arrive := now
	if p.rate > 0 {
		each := time.Duration(len(packet)) * 8 * time.Second / time.Duration(p.rate)
		if l.free.Sub(now) > time.Duration(p.queue)*fullPacket*8*time.Second/time.Duration(p.rate) {
			l.dropped++
			return
		}
		l.free = max(l.free, now).Add(each)
		arrive = l.free
	}
	if loss < p.loss || l.drop != nil && l.drop(packet) {
		l.dropped++
		return
	}
	arrive = arrive.Add(p.delay)
	if late < p.reorder {
		arrive = arrive.Add(time.Duration(by * float64(p.late)))
	}
	if bad < p.corrupt {
		packet[bit/8] ^= 1 << (bit % 8)
	}
	w.at(arrive, func() { l.to(packet) })
	if twice < p.duplicate {
		again := append([]byte(nil), packet...)
		w.at(arrive, func() { l.to(again) })
	}
}

// fullPacket is the size that a queue's length is counted in.
const fullPacket = 1500
