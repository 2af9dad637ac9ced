package splice

import (
	"math/bits"

	"tcpmitm/endpoint"
)

// The wheel is a hierarchical timing wheel: wheelLevels wheels of 64 slots,
// each slot of a wheel as long as the whole wheel below it. A timer sits at
// the level of the highest digit (base 64) in which its tick differs from the
// present one, in the slot of that digit. Setting, moving and stopping a
// timer is O(1); so is finding the next slot, for each wheel keeps one bit for
// each slot in use.
const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 6
	// tickLen is the resolution of all timers, in nanoseconds: about 1 ms.
	tickLen = 1 << 20
	// maxTick is as far ahead as a timer can be set, about two years.
	maxTick = 1<<(wheelBits*wheelLevels) - 1
)

// sleeper is what a timer wakes: a flow, or a record of TIME-WAIT.
type sleeper interface {
	timeout(now endpoint.Time, s *Shard)
}

// timer is a sleeper's place in the wheel.
type timer struct {
	next, prev *timer
	tick       int64
	level      uint8
	slot       uint8
	set        bool
	owner      sleeper
}

type wheel struct {
	now   int64 // in ticks; every timer in the wheel is later
	slots [wheelLevels][wheelSlots]*timer
	used  [wheelLevels]uint64
	count int
}

// set arms t for the first tick that is not before at. A deadline that moves
// later costs nothing: the timer stays where it is, fires early, and its
// owner arms it again.
func (w *wheel) set(t *timer, at endpoint.Time) {
	if at == endpoint.Never {
		w.stop(t)
		return
	}
	tick := int64(at/tickLen) + 1
	if at%tickLen == 0 {
		tick--
	}
	tick = min(max(tick, w.now+1), w.now|maxTick)
	if t.set {
		if t.tick <= tick {
			return
		}
		w.unlink(t)
	}
	t.tick = tick
	w.link(t)
}

// stop disarms t.
func (w *wheel) stop(t *timer) {
	if t.set {
		w.unlink(t)
	}
}

func (w *wheel) link(t *timer) {
	level := (bits.Len64(uint64(t.tick^w.now)) - 1) / wheelBits
	slot := uint8(t.tick >> (level * wheelBits) & (wheelSlots - 1))
	head := &w.slots[level][slot]
	t.level, t.slot, t.set = uint8(level), slot, true
	t.prev, t.next = nil, *head
	if *head != nil {
		(*head).prev = t
	}
	*head = t
	w.used[level] |= 1 << slot
	w.count++
}

func (w *wheel) unlink(t *timer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.level][t.slot] = t.next
		if t.next == nil {
			w.used[t.level] &^= 1 << t.slot
		}
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.set = nil, nil, false
	w.count--
}

// nextSlot finds the slot that comes first and the tick at which it begins.
func (w *wheel) nextSlot() (level int, slot uint8, tick int64, ok bool) {
	for level := range wheelLevels {
		if w.used[level] == 0 {
			continue
		}
		shift := level * wheelBits
		slot := bits.TrailingZeros64(w.used[level])
		above := w.now >> (shift + wheelBits) << wheelBits
		return level, uint8(slot), (above | int64(slot)) << shift, true
	}
	return 0, 0, 0, false
}

// next is when advance has something to do: at most the time of the earliest
// timer, or Never.
func (w *wheel) next() endpoint.Time {
	if _, _, tick, ok := w.nextSlot(); ok {
		return endpoint.Time(tick * tickLen)
	}
	return endpoint.Never
}

// advance moves the wheel to now and calls fire for each timer that is due,
// which is disarmed by then and may be set again.
func (w *wheel) advance(now endpoint.Time, fire func(sleeper)) {
	to := int64(now / tickLen)
	// Each round empties one slot that begins after w.now and not after to;
	// a timer that is set meanwhile is set for later than the slot, so the
	// rounds end.
	for {
		level, slot, tick, ok := w.nextSlot()
		if !ok || tick > to {
			break
		}
		w.now = tick
		for t := w.slots[level][slot]; t != nil; t = w.slots[level][slot] {
			w.unlink(t)
			if t.tick <= tick {
				fire(t.owner)
			} else {
				w.link(t)
			}
		}
	}
	w.now = max(w.now, to)
}
