package sim

import (
	"net/netip"
	"time"

	"tcpmitm/endpoint"
)

// host is a client's or a server's machine: endpoints of our own under
// applications that follow a plan.
type host struct {
	w     *world
	name  string
	pool  *endpoint.Pool
	cfg   endpoint.Config
	open  endpoint.Open // options; the ISS is drawn
	out   *link
	conns []*conn // in the order of their making
	// listen makes the application for a connection to a port; nil refuses.
	// silent ports do not even refuse.
	listen func(endpoint.Tuple) *plan
	silent func(port uint16) bool
	dead   map[endpoint.Tuple]bool // tuples of vanished connections: nobody answers
}

// conn is one connection of a host.
type conn struct {
	h       *host
	ep      *endpoint.Endpoint
	in, out endpoint.Tuple
	alarm   endpoint.Time
	app     app
}

func (h *host) find(in endpoint.Tuple) *conn {
	for i := len(h.conns) - 1; i >= 0; i-- {
		if h.conns[i].in == in {
			return h.conns[i]
		}
	}
	return nil
}

func (h *host) drop(c *conn) {
	for i := range h.conns {
		if h.conns[i] == c {
			h.conns = append(h.conns[:i], h.conns[i+1:]...)
			break
		}
	}
	c.ep.Release()
	c.ep = nil
}

// connect opens a connection from port, which is free, to a server.
func (h *host) connect(from, to netip.AddrPort, p *plan) {
	out := endpoint.NewTuple(from, to)
	delete(h.dead, out.Reverse())
	o := h.open
	o.ISS = endpoint.Seq(h.w.rng.Uint32())
	if h.w.chance(0.2) {
		o.ISS = -endpoint.Seq(h.w.rng.Uint32N(1000)) // it will wrap
	}
	c := &conn{h: h, ep: endpoint.NewActive(h.w.now, &h.cfg, o), in: out.Reverse(), out: out}
	c.app = app{c: c, plan: p, partner: p.partner}
	p.app = &c.app
	h.conns = append(h.conns, c)
	c.app.start()
	c.turn()
}

// busy tells whether a port has a connection.
func (h *host) busy(in endpoint.Tuple) bool { return h.find(in) != nil }

// receive takes a packet from the link.
func (h *host) receive(p packet) {
	h.w.note("  >"+h.name, &p)
	if h.dead[p.tuple] {
		return
	}
	var s endpoint.Segment
	if _, _, why := endpoint.ParseSegment(p.tcp, &s); why != endpoint.ReasonNone {
		h.w.fail("%s got a segment that is none: %v", h.name, why)
		return
	}
	s.ECN = p.ecn
	c := h.find(p.tuple)
	isSYN := s.Flags&(endpoint.SYN|endpoint.ACK|endpoint.RST) == endpoint.SYN
	if c != nil && isSYN && c.ep.State() == endpoint.TimeWait && s.Seq.After(c.ep.Info().RcvNxt) {
		c.app.hurry() // what is unread is the application's
		h.drop(c)     // RFC 9293, MAY-2
		c = nil
	}
	if c == nil && isSYN && h.silent != nil && h.silent(p.tuple.DstPort) {
		return
	}
	if c == nil && isSYN && h.listen != nil {
		if plan := h.listen(p.tuple); plan != nil {
			o := h.open
			o.ISS = endpoint.Seq(h.w.rng.Uint32())
			c = &conn{h: h, ep: endpoint.NewPassive(&h.cfg, o), in: p.tuple, out: p.tuple.Reverse()}
			c.app = app{c: c, plan: plan, partner: plan.partner}
			plan.app = &c.app
			h.conns = append(h.conns, c)
			c.app.start()
		}
	}
	if c == nil {
		h.refuse(p.tuple, &s)
		return
	}
	c.ep.HandleSegment(h.w.now, &s)
	c.turn()
}

// refuse answers a segment for nobody (RFC 9293, 3.10.7.1).
func (h *host) refuse(in endpoint.Tuple, s *endpoint.Segment) {
	if s.Flags.Has(endpoint.RST) {
		return
	}
	r := endpoint.Segment{Seq: s.Ack, Flags: endpoint.RST}
	if !s.Flags.Has(endpoint.ACK) {
		r = endpoint.Segment{Ack: s.End(), Flags: endpoint.RST | endpoint.ACK}
	}
	for _, p := range encode(in.Reverse(), &r, false) {
		h.out.send(p)
	}
}

// turn lets the application act, sends, and sets the alarm.
func (c *conn) turn() {
	w := c.h.w
	if c.ep == nil {
		return
	}
	c.app.heed(c.ep.TakeEvents())
	if c.ep == nil {
		return
	}
	c.app.act()
	if c.ep == nil {
		return
	}
	var s endpoint.Segment
	for c.ep.PollSegment(w.now, &s) {
		x := s
		for _, p := range encode(c.out, &x, c.h.out.merge) {
			c.h.out.send(p)
		}
	}
	c.app.heed(c.ep.TakeEvents())
	if err := c.ep.Verify(); err != nil {
		w.fail("%s: %v", c.h.name, err)
	}
	if c.ep.State() == endpoint.Closed && c.ep.Readable() == 0 {
		c.app.ended()
		c.h.drop(c)
		return
	}
	c.setAlarm()
}

func (c *conn) setAlarm() {
	at := c.ep.NextTimeout()
	if at == endpoint.Never || c.alarm >= c.h.w.now && c.alarm != 0 && c.alarm <= at {
		return
	}
	c.alarm = at
	c.h.w.at(at, func() {
		if c.ep == nil || c.alarm != at {
			return
		}
		c.alarm = 0
		c.ep.HandleTimeout(c.h.w.now)
		c.turn()
	})
}

// wake lets the application act after a while.
func (c *conn) wake(d time.Duration) {
	c.h.w.after(d, c.turn)
}
