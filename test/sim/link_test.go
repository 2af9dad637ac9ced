package sim

import (
	"time"

	"tcpmitm/endpoint"
)

// packet is a TCP packet on a link: what stands in its IP header, and its
// octets from the TCP header on.
type packet struct {
	tuple endpoint.Tuple
	ecn   uint8
	tcp   []byte
}

// encode makes the packets of a segment. The kernel cuts a super-segment at
// segment borders; a link that merges (generic receive offload) does not.
func encode(tuple endpoint.Tuple, s *endpoint.Segment, merge bool) []packet {
	var data []byte
	for _, piece := range s.Pieces {
		data = append(data, piece...)
	}
	data = append(data, s.Payload...)
	size := len(data)
	if s.MSS > 0 && !merge {
		size = s.MSS
	}
	var out []packet
	for first := true; first || len(data) > 0; first = false {
		n := min(size, len(data))
		c := *s
		c.Pieces, c.Payload, c.MSS = nil, nil, 0
		if n < len(data) {
			c.Flags &^= endpoint.FIN | endpoint.PSH
		}
		if !first {
			c.Flags &^= endpoint.CWR
		}
		out = append(out, packet{tuple, s.ECN, append(endpoint.AppendHeader(nil, tuple.SrcPort, tuple.DstPort, &c), data[:n]...)})
		s.Seq = s.Seq.Plus(n)
		data = data[n:]
	}
	return out
}

// weather is how badly a link behaves.
type weather struct {
	loss, duplicate, reorder float64
	jitter                   time.Duration
}

// link carries packets one way.
type link struct {
	w       *world
	delay   time.Duration
	weather weather
	merge   bool
	last    endpoint.Time // when the last packet that was not reordered arrives
	deliver func(packet)
}

func (l *link) send(p packet) {
	if l.w.chance(l.weather.loss) {
		return
	}
	copies := 1
	if l.w.chance(l.weather.duplicate) {
		copies = 2
	}
	for range copies {
		at := l.w.now.Add(l.delay)
		if l.weather.jitter > 0 {
			at = at.Add(l.w.between(0, l.weather.jitter))
		}
		if l.w.chance(l.weather.reorder) {
			at = at.Add(l.w.between(0, 10*time.Millisecond))
		} else {
			at = max(at, l.last)
			l.last = at
		}
		l.w.at(at, func() { l.deliver(p) })
	}
}
