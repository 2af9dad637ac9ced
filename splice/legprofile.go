package splice

import (
	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// How profiles and mirroring meet: the options of a leg mirror those of the
// other leg's peer (openLike), and then what the leg's own profile says wins.
// It says nothing of the other leg: that one still mirrors what this leg's
// peer has offered.
//
//	mss            the smaller of the mirrored one and the profile's, so that
//	               what the other side cannot take is not asked for; 0 leaves
//	               the option out
//	window-scale, sack, timestamps, ecn
//	               the profile's, also where the other side has not offered
//	               it; in a SYN-ACK only if the peer's SYN has it, as TCP
//	               demands
//	isn            fixed: the same for each connection, also where a peer in
//	               TIME-WAIT may take the SYN for an old duplicate: it then
//	               answers with an ACK, which we answer with a RST and the SYN
//	               again (RFC 9293, 3.5.2)
//	dscp           the profile's; else as the other leg's peer has it
//	window         bounds the receive buffer, and by that each window we tell
//
// A connection whose client leg has something of this in its profile that a
// SYN cookie cannot tell of is not opened by one (canCookie).

// configOf is how an endpoint with a profile behaves.
func configOf(base *endpoint.Config, p *rules.Profile) endpoint.Config {
	c := *base
	set(p.Window, func(n int) { c.ReceiveBuffer = max(n, 1) })
	set(p.SYNRetries, func(n int) { c.SYNRetries, c.SYNACKRetries = n, n })
	set(p.InitialWindow, func(n int) { c.InitialWindow = n })
	set(p.Congestion, func(name string) { c.Congestion = name })
	if p.ACKDelay.Set {
		c.AckDelay = p.ACKDelay.Value
		if c.AckDelay == 0 {
			c.AckEvery = 0
		}
	}
	if p.TimeWait.Set {
		c.MSL = p.TimeWait.Value / 2
	}
	if p.UserTimeout.Set {
		c.R2 = p.UserTimeout.Value
	}
	if p.KeepAlive.Set {
		k := p.KeepAlive.Value
		c.KeepAlive = endpoint.KeepAlive{Idle: k.Idle, Interval: k.Interval, Count: k.Count}
	}
	return c
}

// set calls use with what was said.
func set[T any](o rules.Optional[T], use func(T)) {
	if o.Set {
		use(o.Value)
	}
}

// shape makes an OPEN of a leg what the leg's profile, and the faults on what
// it decides, want it to be.
func (s *Shard) shape(now endpoint.Time, f *flow, l endpoint.Leg, o *endpoint.Open) {
	p, out := &f.profile.legs[l], &f.legs[l].out
	o.Holder = s.holderOf(f, l)
	o.MTU = s.opt.MaxPacket // the peer's own MSS may be that of the loopback device
	if p.MSS.Set {
		o.MSS = min(o.MSS, p.MSS.Value)
		if p.MSS.Value > 0 {
			o.MTU = p.MSS.Value + headersOf(out)
		}
	}
	if p.Window.Set && o.WindowScale >= 0 {
		o.WindowScale = scaleFor(p.cfg.ReceiveBuffer)
	}
	set(p.WindowScale, func(n int) { o.WindowScale = n })
	set(p.SACK, func(on bool) { o.SACK = on })
	set(p.Timestamps, func(on bool) { o.Timestamps = on })
	set(p.ECN, func(on bool) { o.ECN = on })
	if n := s.dribbled(f, l); n > 0 {
		o.SYNWindow = uint16(min(n, 1<<16-1))
	}
	if p.ISN.Set {
		switch p.ISN.Value.Mode {
		case rules.ISNFixed:
			o.ISS = endpoint.Seq(p.ISN.Value.Fixed)
		case rules.ISNRandom:
			o.ISS = s.isn.Random(now, out)
		}
	}
}

// fixedISN tells that a leg's initial sequence number is not to be moved.
func (p *legProfile) fixedISN() bool { return p.ISN.Set && p.ISN.Value.Mode == rules.ISNFixed }

// keptByCookie tells whether a leg with this profile can be opened by a SYN
// cookie, of which nothing is kept, and whose SYN-ACK says what all say.
func (p *legProfile) keptByCookie() bool {
	return !(p.MSS.Set || p.Window.Set || p.WindowScale.Set || p.SACK.Set || p.Timestamps.Set ||
		p.ECN.Set || p.ISN.Set || p.TTL.Set || p.DSCP.Set)
}

// leastDribble is the smallest window that a fault of a rule may ask a leg
// to tell, in octets; 0 is none.
func leastDribble(r *rules.Rule, l rules.Leg) int {
	least := 0
	for i := range r.Faults {
		if f := &r.Faults[i]; f.Do == rules.Dribble && f.Leg == l && f.Size > 0 && (least == 0 || f.Size < least) {
			least = f.Size
		}
	}
	return least
}

// dribbled is the window, in octets, that a fault of the flow's rule has for
// the leg from the moment when it is ESTABLISHED; 0 is none. The SYN must not
// offer more, or a quick peer would have used it before that moment.
func (s *Shard) dribbled(f *flow, l endpoint.Leg) int {
	least := 0
	if f.moments == nil || f.by.Stopped() {
		return 0
	}
	for _, i := range f.moments.at[l][0] {
		if flt := &f.by.Faults[i]; flt.Do == rules.Dribble && flt.After == 0 && s.chosen(f, i) && (least == 0 || flt.Size < least) {
			least = flt.Size
		}
	}
	return least
}

// headersOf is how long the headers of a segment without options are.
func headersOf(t *endpoint.Tuple) int {
	if t.IsIPv4() {
		return 40
	}
	return 60
}
