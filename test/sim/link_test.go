package sim

import (
	"time"

	"tcpmitm/endpoint"
)

// weather is how badly a link behaves.
type weather struct {
	loss, duplicate, reorder float64
	corrupt                  float64 // one bit is wrong
	straggle                 float64 // arrives seconds late
	mark                     float64 // CE instead of ECT (RFC 3168)
	jitter                   time.Duration
}

// link carries packets one way.
type link struct {
	w       *world
	d       draws
	delay   time.Duration
	weather weather
	merge   bool
	// mtu is what the link takes, 0 being anything. Of a packet that is too
	// long the sender is told by report, unless that is nil: then the link is
	// a black hole.
	mtu     int
	report  func(packet)
	oldICMP bool          // the report does not say which length would do (RFC 1191, 5)
	last    endpoint.Time // when the last packet that was not reordered arrives
	deliver func(packet)

	lost, corrupted, tooBig int
}

// maxStraggle is how late a packet may come: within the maximum segment
// lifetime.
const maxStraggle = 20 * time.Second

func (l *link) send(p packet) {
	if l.mtu > 0 && p.icmp == nil && p.onWire() > l.mtu {
		l.tooBig++
		l.refuse(&p)
		return
	}
	if l.d.chance(l.weather.loss) {
		l.lost++
		return
	}
	copies := 1
	if l.d.chance(l.weather.duplicate) {
		copies = 2
	}
	if l.d.chance(l.weather.mark) && p.ecn != endpoint.NotECT {
		p.ecn = endpoint.CE
	}
	for range copies {
		at := l.w.now.Add(l.delay)
		if l.weather.jitter > 0 {
			at = at.Add(l.d.between(0, l.weather.jitter))
		}
		switch {
		case l.d.chance(l.weather.straggle):
			at = at.Add(l.d.between(time.Second, maxStraggle))
		case l.d.chance(l.weather.reorder):
			at = at.Add(l.d.between(0, 10*time.Millisecond))
		default:
			at = max(at, l.last)
			l.last = at
		}
		q := p
		if l.d.chance(l.weather.corrupt) && len(q.tcp) > 0 {
			l.corrupted++
			q.tcp = append([]byte(nil), q.tcp...)
			bit := l.d.IntN(len(q.tcp) * 8)
			q.tcp[bit/8] ^= 1 << (bit % 8)
		}
		l.w.at(at, func() { l.deliver(q) })
	}
}

// ICMP types and codes (RFC 792, RFC 4443).
const (
	icmpUnreachable   = 3
	icmpFragNeeded    = 4
	icmpv6Unreachable = 1
	icmpv6TooBig      = 2
)

// refuse tells the sender that a packet is too long.
func (l *link) refuse(p *packet) {
	if l.report == nil {
		return
	}
	e := &endpoint.ICMPError{Type: icmpUnreachable, Code: icmpFragNeeded, MTU: l.mtu,
		From: addr("10.9.9.9:0").Addr(), To: p.tuple.Source().Addr()}
	if !p.tuple.IsIPv4() {
		e.Type, e.Code, e.From = icmpv6TooBig, 0, addr("[fd00:9::9]:0").Addr()
	} else if l.oldICMP {
		e.MTU = 0
	}
	var s endpoint.Segment
	endpoint.ParseSegment(p.tcp, &s)
	back := packet{tuple: p.tuple, icmp: e, seq: s.Seq}
	if l.d.chance(l.weather.loss) {
		return
	}
	l.w.after(l.delay, func() { l.report(back) })
}
