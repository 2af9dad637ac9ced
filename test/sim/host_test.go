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
	d     draws
	name  string
	pool  *endpoint.Pool
	cfg   endpoint.Config
	open  endpoint.Open // options; the ISS is drawn
	out   *link
	conns []*conn // in the order of their making
	// listen makes the application for a connection to a port; nil refuses.
	// silent ports do not even refuse, and calling ones answer a SYN with a
	// SYN of their own.
	listen          func(endpoint.Tuple, endpoint.Seq) *plan
	silent, calling func(port uint16) bool
	dead            map[endpoint.Tuple]bool // tuples of vanished connections: nobody answers
	synCopies       int                     // how often each SYN is sent again at once
	synEvery        time.Duration
	// spoil, if set, changes what the host sends: a test of the tests.
	spoil func(*conn, *endpoint.Segment)

	badSums int
}

// conn is one connection of a host.
type conn struct {
	h       *host
	ep      *endpoint.Endpoint
	in, out endpoint.Tuple
	alarm   endpoint.Time
	app     app
	referee referee
}

func (h *host) find(in endpoint.Tuple) *conn {
	for i := len(h.conns) - 1; i >= 0; i-- {
		if h.conns[i].in == in {
			return h.conns[i]
		}
	}
	return nil
}

// drop forgets a connection.
func (h *host) drop(c *conn) {
	for i := range h.conns {
		if h.conns[i] == c {
			h.conns = append(h.conns[:i], h.conns[i+1:]...)
			break
		}
	}
	c.ep.Release()
	c.ep = nil
	if again := c.app.plan.again; again != nil {
		c.app.plan.again = nil
		h.w.after(0, again)
	}
}

// begin makes a connection around an endpoint and starts its application.
func (h *host) begin(ep *endpoint.Endpoint, in endpoint.Tuple, p *plan) *conn {
	c := &conn{h: h, ep: ep, in: in, out: in.Reverse()}
	c.referee = referee{w: h.w, name: h.name, state: ep.State()}
	c.app = app{c: c, plan: p, partner: p.partner}
	p.app = &c.app
	h.conns = append(h.conns, c)
	c.app.start()
	return c
}

// openWith draws the ISS of a connection.
func (h *host) openWith() endpoint.Open {
	o := h.open
	o.ISS = endpoint.Seq(h.d.Uint32())
	if h.d.chance(0.2) {
		o.ISS = -endpoint.Seq(h.d.Uint32N(1000)) // it will wrap
	}
	return o
}

// connect opens a connection from port, which is free, to a server.
func (h *host) connect(from, to netip.AddrPort, p *plan) *conn {
	out := endpoint.NewTuple(from, to)
	delete(h.dead, out.Reverse())
	c := h.begin(endpoint.NewActive(h.w.now, &h.cfg, h.openWith()), out.Reverse(), p)
	c.turn()
	return c
}

// busy tells whether a port has a connection.
func (h *host) busy(in endpoint.Tuple) bool { return h.find(in) != nil }

// receive takes a packet from the link.
func (h *host) receive(p packet) {
	h.w.note("  >"+h.name, &p)
	if p.icmp != nil {
		if c := h.find(p.tuple.Reverse()); c != nil {
			c.ep.HandleICMP(h.w.now, p.seq, p.icmp)
			c.turn()
		}
		return
	}
	var s endpoint.Segment
	if !p.decode(&s) {
		h.badSums++ // MUST-3
		return
	}
	if h.dead[p.tuple] {
		return
	}
	c := h.find(p.tuple)
	isSYN := s.Flags&(endpoint.SYN|endpoint.ACK|endpoint.RST) == endpoint.SYN
	if c != nil && isSYN && c.ep.State() == endpoint.TimeWait && s.Seq.After(c.ep.Info().RcvNxt) {
		c.app.hurry() // what is unread is the application's
		h.drop(c)     // RFC 9293, MAY-2
		c = nil
	}
	if c == nil && isSYN {
		if h.silent != nil && h.silent(p.tuple.DstPort) {
			return
		}
		c = h.accept(&p, s.Seq)
	}
	if c == nil {
		h.refuse(p.tuple, &s)
		return
	}
	c.referee.in(&s, c.ep.Info().SndScale)
	c.ep.HandleSegment(h.w.now, &s)
	c.turn()
}

// accept makes the connection that a SYN asks for, if somebody listens.
func (h *host) accept(p *packet, isn endpoint.Seq) *conn {
	if h.listen == nil {
		return nil
	}
	plan := h.listen(p.tuple, isn)
	if plan == nil {
		return nil
	}
	if h.calling != nil && h.calling(p.tuple.DstPort) {
		// The two SYNs cross (RFC 9293, 3.5, figure 7).
		c := h.begin(endpoint.NewActive(h.w.now, &h.cfg, h.openWith()), p.tuple, plan)
		c.turn()
		return c
	}
	return h.begin(endpoint.NewPassive(&h.cfg, h.openWith()), p.tuple, plan)
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
	encode(in.Reverse(), &r, false, h.out.send)
}

// turn lets the application act, sends, and sets the alarm.
func (c *conn) turn() {
	w := c.h.w
	if c.ep == nil {
		return
	}
	c.referee.becomes(c.ep.State())
	c.app.heed(c.ep.TakeEvents())
	c.app.act()
	if c.ep == nil {
		return
	}
	c.referee.becomes(c.ep.State())
	var s endpoint.Segment
	for c.ep.PollSegment(w.now, &s) {
		c.send(&s)
	}
	c.app.heed(c.ep.TakeEvents())
	c.referee.becomes(c.ep.State())
	if err := c.ep.Verify(); err != nil {
		w.fail("%s: %v", c.h.name, err)
	}
	if n := c.ep.Readable(); n > c.h.cfg.ReceiveBuffer+maxRounding {
		w.fail("%s holds %d octets in a buffer of %d", c.h.name, n, c.h.cfg.ReceiveBuffer)
	}
	if c.ep.State() == endpoint.Closed && (c.ep.Readable() == 0 || c.app.plan.result.gone) {
		c.app.ended()
		c.h.drop(c)
		return
	}
	c.setAlarm()
}

// maxRounding is by how much a window that is rounded up may promise more
// than the buffer has: one unit of the largest scale.
const maxRounding = 1 << 14

// send puts a segment on the link.
func (c *conn) send(s *endpoint.Segment) {
	if c.h.spoil != nil {
		c.h.spoil(c, s)
	}
	c.referee.out(s, c.ep.Info().RcvScale)
	encode(c.out, s, c.h.out.merge, func(p packet) {
		c.h.out.send(p)
		if s.Flags&(endpoint.SYN|endpoint.ACK|endpoint.RST) == endpoint.SYN {
			for i := range c.h.synCopies {
				c.h.w.after(time.Duration(i+1)*c.h.synEvery, func() {
					if c.ep != nil {
						c.h.out.send(p)
					}
				})
			}
		}
	})
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
