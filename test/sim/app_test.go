package sim

import (
	"time"

	"tcpmitm/endpoint"
)

// ending is how an application ends its part.
type ending uint8

const (
	closeWhenSent  ending = iota // half-close after the last octet
	closeAfterPeer               // half-close when the other one has
	// From here on the other side does not get everything.
	closeUnread  // close after half of the octets, and read no more
	abortMidway  // RST after half of the octets
	rebootMidway // forgets the connection after half of the octets, and resets what comes
	vanishMidway // silence after half of the octets
)

// plan is what one side's application is going to do.
type plan struct {
	name   string
	stream byte // which pattern its octets follow
	octets int
	ending ending
	pause  time.Duration // before the first octet
	write  int           // octets for each write
	every  time.Duration // between writes
	read   int           // octets for each read; 0: all at once
	rest   time.Duration // between reads

	// stopAt is where a reader stops for stopFor; nothing at 0.
	stopAt  int
	stopFor time.Duration
	// lullAt is where a writer falls silent for lull; nothing at 0.
	lullAt int
	lull   time.Duration
	// closeAt is the moment before which the close does not come: both
	// sides' is the same for a simultaneous one.
	closeAt endpoint.Time

	partner *plan
	app     *app   // once it runs
	again   func() // what to do when the connection is forgotten
	result  result
}

// result is what came of it.
type result struct {
	started, established bool
	sent, got            int
	sentFIN, gotFIN      bool
	reset, timeout       bool
	refused, gone        bool // gone: it has vanished, or aborted
}

// app is a plan being carried out.
type app struct {
	*plan
	c       *conn
	partner *plan
	ready   bool // the pause is over
	nextTx  endpoint.Time
	nextRx  endpoint.Time
	idle    endpoint.Time // since when nothing has happened
}

// idleLimit is how long an application waits for news before it gives up.
const idleLimit = 40 * time.Minute

func (a *app) start() {
	a.plan.result = result{started: true}
	a.idle = a.c.h.w.now
	a.c.h.w.after(a.pause, func() { a.ready = true; a.c.turn() })
	a.watch()
}

// watch gives up on a connection on which nothing happens.
func (a *app) watch() {
	a.c.h.w.after(a.idle.Add(idleLimit).Sub(a.c.h.w.now), func() {
		if a.c.ep == nil || a.c.ep.State() == endpoint.TimeWait {
			return
		}
		if a.c.h.w.now.Sub(a.idle) >= idleLimit {
			a.plan.result.gone = true
			a.c.ep.Abort(a.c.h.w.now)
			a.c.turn()
			return
		}
		a.watch()
	})
}

// octet is the octet of a stream at an offset.
func octet(stream byte, offset int) byte {
	return byte(offset) ^ byte(offset>>8)*3 ^ byte(offset>>16)*7 ^ stream
}

// heed takes note of what has happened.
func (a *app) heed(ev endpoint.Events) {
	r := &a.plan.result
	if ev != 0 {
		a.idle = a.c.h.w.now
	}
	r.established = r.established || ev.Has(endpoint.EventEstablished)
	r.reset = r.reset || ev.Has(endpoint.EventReset)
	r.refused = r.refused || ev.Has(endpoint.EventRefused)
	r.timeout = r.timeout || ev.Has(endpoint.EventTimeout)
	r.gotFIN = r.gotFIN || ev.Has(endpoint.EventPeerClosed)
}

// act reads, writes and closes as far as the plan and the endpoint allow.
func (a *app) act() {
	r := &a.plan.result
	w := a.c.h.w
	if r.gone {
		return
	}
	a.readSome()
	if !r.established || !a.ready {
		return
	}
	if a.ending >= closeUnread && r.sent >= a.octets/2 {
		a.leave()
		return
	}
	a.writeSome()
	if r.sent != a.octets || r.sentFIN || a.ending == closeAfterPeer && !a.eof() {
		return
	}
	if w.now < a.closeAt {
		w.at(a.closeAt, a.c.turn)
		return
	}
	r.sentFIN = true
	a.c.ep.CloseWrite(w.now)
}

// eof tells that the other side has closed and everything was read.
func (a *app) eof() bool { return a.plan.result.gotFIN && a.c.ep.Readable() == 0 }

// leave ends the connection in the middle.
func (a *app) leave() {
	h := a.c.h
	a.plan.result.gone = true
	switch a.ending {
	case closeUnread:
		a.plan.result.sentFIN = true
		a.c.ep.Close(h.w.now)
	case abortMidway:
		a.c.ep.Abort(h.w.now)
	case vanishMidway:
		h.dead[a.c.in] = true
		h.drop(a.c)
	case rebootMidway:
		h.drop(a.c)
	}
}

// hurry reads all that is there: the connection gives way to a new one.
func (a *app) hurry() {
	a.plan.read, a.plan.rest, a.plan.stopAt, a.nextRx = 0, 0, 0, 0
	if !a.plan.result.gone {
		a.readSome()
	}
	a.ended()
}

func (a *app) readSome() {
	w := a.c.h.w
	if w.now < a.nextRx {
		return
	}
	r := &a.plan.result
	limit := 1 << 30
	if a.read > 0 {
		limit = a.read
	}
	if a.stopAt > 0 {
		if r.got >= a.stopAt {
			a.stopAt = 0
			a.nextRx = w.now.Add(a.stopFor)
			a.c.wake(a.stopFor)
			return
		}
		limit = min(limit, a.stopAt-r.got)
	}
	for limit > 0 {
		c, ok := a.c.ep.Read(w.now, limit)
		if !ok {
			return
		}
		a.compare(c.Data)
		r.got += len(c.Data)
		limit -= len(c.Data)
		a.idle = w.now
		c.Release()
	}
	if a.stopAt > 0 && r.got >= a.stopAt {
		a.c.wake(0)
	} else if a.read > 0 {
		a.nextRx = w.now.Add(a.rest)
		a.c.wake(a.rest)
	}
}

// compare checks octets that were read with those that the partner wrote.
func (a *app) compare(data []byte) {
	got := a.plan.result.got
	if end := got + len(data); end > a.partner.result.sent {
		a.c.h.w.fail("%s read %d octets and %s has written %d", a.name, end, a.partner.name, a.partner.result.sent)
		return
	}
	for i, b := range data {
		if want := octet(a.partner.stream, got+i); b != want {
			a.c.h.w.fail("%s: octet %d is %#x and not %#x", a.name, got+i, b, want)
			return
		}
	}
}

func (a *app) writeSome() {
	w := a.c.h.w
	r := &a.plan.result
	for r.sent < a.octets && w.now >= a.nextTx {
		n := min(a.write, a.octets-r.sent, a.c.ep.WriteSpace())
		if n <= 0 {
			return // EventWritable comes with an ACK, and that is a turn
		}
		data := make([]byte, n)
		for i := range data {
			data[i] = octet(a.stream, r.sent+i)
		}
		a.c.ep.Write(w.now, endpoint.NewChunk(data, nil))
		r.sent += n
		a.idle = w.now
		gap := a.every
		if a.lullAt > 0 && r.sent >= a.lullAt {
			a.lullAt = 0
			gap = a.lull
		}
		if gap > 0 {
			a.nextTx = w.now.Add(gap)
			a.c.wake(gap)
		}
	}
}

// ended checks what can be checked when a connection is gone.
func (a *app) ended() {
	r, o := &a.plan.result, &a.partner.result
	if r.gotFIN && !r.reset && !r.timeout && !r.gone && !a.c.h.w.endsEarly && (!o.sentFIN || r.got != o.sent) {
		a.c.h.w.fail("%s saw the end after %d octets; %s had sent %d and closed: %v", a.name, r.got, a.partner.name, o.sent, o.sentFIN)
	}
}
