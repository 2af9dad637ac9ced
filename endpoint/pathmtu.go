package endpoint

import "time"

// pathMTU is what is known of the path's MTU beyond the present send MSS:
// what ICMP claims (RFC 1191, RFC 8201), and, where a router drops what is too
// big without a word, what trying tells (RFC 4821).
type pathMTU struct {
	// proven is the largest payload in one packet that was acknowledged.
	proven uint16
	// claimed is the payload that an ICMP error says fits, while it is not
	// believed yet; about is the segment it was said of.
	claimed uint16
	about   Seq
	// search is there while the path may carry more than the send MSS.
	search *pathSearch
}

// pathSearch looks for the largest packet that passes, by probes that are
// data (RFC 4821, 7).
type pathSearch struct {
	top   uint16 // what the peer and our link would take
	high  uint16 // the search goes on up to here
	tries uint8  // probes lost in this search
	out   bool   // a probe is outstanding: the octets probe
	probe Range
	next  Time // when the next probe may leave
}

// Smallest path MTUs that are believed: what every IPv4 path should carry
// without black-holing us to tiny segments, and IPv6's minimum (RFC 8200).
const (
	minMTU4 = 552
	minMTU6 = 1280
)

// Packet sizes to fall back to when full-sized segments vanish (RFC 4821,
// 7.2; RFC 8899, 5.1.2).
var blackHoleMTUs = [...]int{1280, 1200, 576}

const (
	// probeStep is the precision of a search, in octets.
	probeStep = 16
	// probePause is between the probes of a search, and searchPause between
	// two searches (RFC 4821, 7.8: paths change, but seldom).
	probePause  = 2 * time.Second
	searchPause = 10 * time.Minute
)

// overhead is what of a packet is not payload.
func (e *Endpoint) overhead() int {
	n := 40
	if e.open.ipv6 {
		n = 60
	}
	if e.ts.on {
		n += timestampsLen
	}
	return n
}

func (e *Endpoint) leastMTU() int {
	if e.open.ipv6 {
		return minMTU6
	}
	return minMTU4
}

// packetTooBig judges an ICMP error about the segment that began at seq. As
// long as larger segments are known to arrive it is believed only if the
// segment is not acknowledged before it times out (RFC 5927, 7.2): a forger
// can know the sequence number, but cannot stop the segment.
func (e *Endpoint) packetTooBig(now Time, seq Seq, mtu int) Reason {
	if mtu == 0 {
		// A router of before RFC 1191: fall back to what all paths carry.
		mtu = 576
	}
	mss := max(mtu, e.leastMTU()) - e.overhead()
	if mss >= e.snd.mss && !e.probeTooBig(now, seq, mss) {
		return ReasonBadICMP
	}
	if mss < int(e.path.proven) {
		e.path.claimed, e.path.about = uint16(mss), seq
		return ReasonNone
	}
	e.setSendMSS(now, mss)
	return ReasonNone
}

// probeTooBig ends a probe that a router has refused, and tells whether it
// was one.
func (e *Endpoint) probeTooBig(now Time, seq Seq, mss int) bool {
	p := e.path.search
	if p == nil || !p.out || seq != p.probe.Start || mss >= p.probe.Len() {
		return false
	}
	p.high = uint16(max(mss, e.snd.mss))
	if i := e.inflight.find(seq); i < len(e.inflight.live()) {
		e.inflight.markLost(&e.inflight.live()[i])
	}
	e.probeFailed(now)
	e.armSendTimer(now)
	return true
}

// setSendMSS makes segments smaller, or larger, from now on; what is
// outstanding in packets that are too big is sent again.
func (e *Endpoint) setSendMSS(now Time, mss int) {
	if mss == e.snd.mss {
		return
	}
	smaller := mss < e.snd.mss
	if smaller {
		// As many segments as before, and no more.
		e.cong.cwnd = max(e.cong.cwnd/e.snd.mss, 1) * mss
	}
	e.snd.mss = mss
	e.cong.setMSS(mss)
	if !smaller {
		return
	}
	e.path.proven = min(e.path.proven, uint16(mss))
	live := e.inflight.live()
	for i := range live {
		if live[i].len() > mss {
			e.inflight.markLost(&live[i])
		}
	}
	e.armSendTimer(now)
}

// suspectBlackHole makes segments smaller when full-sized ones time out again
// and again and no router says why (RFC 4821, 7.7). If it was an outage and
// no black hole, the search that follows finds so with its first probe.
func (e *Endpoint) suspectBlackHole(now Time) {
	p := &e.path
	if p.claimed != 0 && e.snd.una.AtMost(p.about) {
		mss := int(p.claimed)
		p.claimed = 0
		if mss < e.snd.mss {
			e.setSendMSS(now, mss)
			return
		}
	}
	if n := e.cfg.BlackHole; n == 0 || int(e.timer.probes) < n || e.blocked() || e.inflight.empty() {
		return
	}
	// What a smaller size does not cut is not too big; but it need not be full
	// to be that.
	size := min(e.inflight.live()[0].len(), e.snd.mss)
	for _, mtu := range blackHoleMTUs {
		mss := mtu - e.overhead()
		if mtu < e.leastMTU() || mss >= size {
			continue
		}
		if p.search == nil {
			p.search = &pathSearch{top: uint16(e.snd.mss)}
		}
		*p.search = pathSearch{top: p.search.top, high: p.search.top, next: now.Add(probePause)}
		e.setSendMSS(now, mss)
		return
	}
}

// pathAcknowledged learns from an ACK: record is the newest that it covers.
func (e *Endpoint) pathAcknowledged(now Time, record *transmission) {
	p := &e.path
	if n := min(record.len(), e.snd.mss); n > int(p.proven) && !record.resent {
		p.proven = uint16(n)
	}
	if p.claimed != 0 && e.snd.una.After(p.about) {
		p.claimed = 0
	}
}

// judgePathProbe looks whether the outstanding probe has arrived.
func (e *Endpoint) judgePathProbe(now Time) {
	s := e.path.search
	if s == nil || !s.out {
		return
	}
	arrived, resent := e.snd.una.AtLeast(s.probe.End), false
	if !arrived {
		i := e.inflight.find(s.probe.Start)
		if i == len(e.inflight.live()) {
			return
		}
		t := &e.inflight.live()[i]
		arrived, resent = t.sacked && t.end.AtLeast(s.probe.End), t.resent
	}
	if !arrived || resent {
		return
	}
	s.out = false
	e.path.proven = uint16(s.probe.Len())
	e.setSendMSS(now, s.probe.Len())
	if e.snd.mss >= int(s.top) {
		e.path.search = nil
		return
	}
	s.tries = 0
	s.next = now.Add(probePause)
}

// probeFailed notes the loss of the probe and says what to try next.
func (e *Endpoint) probeFailed(now Time) {
	s := e.path.search
	s.high = min(s.high, uint16(s.probe.Len()-1))
	s.out = false
	s.next = now.Add(probePause)
	if s.tries < 255 {
		s.tries++
	}
}

// pathProbeLost tells whether all that is deemed lost is the probe. Its loss
// says something of its size and nothing of congestion (RFC 4821, 7.6).
func (e *Endpoint) pathProbeLost(now Time) bool {
	s := e.path.search
	if s == nil || !s.out {
		return false
	}
	i := e.inflight.find(s.probe.Start)
	if i == len(e.inflight.live()) || !e.inflight.live()[i].lost {
		return false
	}
	only := e.inflight.lost == s.probe.Len()
	e.probeFailed(now)
	return only
}

// pathProbeSize is the payload of the probe that may leave now, or 0: one at
// a time, with so much data behind it that a loss shows soon.
func (e *Endpoint) pathProbeSize(now Time, unsent, room, budget int) int {
	s := e.path.search
	if s == nil || s.out || now < s.next || e.recovery.active || e.recovery.timeout || e.urgent.snd || e.ecn.cwr {
		return 0
	}
	if int(s.high) < e.snd.mss+probeStep {
		// Found. Another day the path may be another.
		s.high, s.tries, s.next = s.top, 0, now.Add(searchPause)
		return 0
	}
	// The top first: after an outage it passes.
	size := int(s.high)
	if s.tries > 0 {
		size = (e.snd.mss + int(s.high) + 1) / 2
	}
	if min(unsent, room, budget) < size+dupThresh*e.snd.mss {
		return 0
	}
	return size
}

// emitPathProbe sends size new octets in one packet.
func (e *Endpoint) emitPathProbe(now Time, s *Segment, size int) bool {
	start := e.snd.nxt
	if e.emit(now, s, size, false) != size {
		return true
	}
	s.MSS = 0
	p := e.path.search
	p.out, p.probe = true, Range{start, start.Plus(size)}
	return true
}
