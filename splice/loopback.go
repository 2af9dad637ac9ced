package splice

import (
	"net/netip"

	"tcpmitm/endpoint"
)

// A connection of the host with itself goes over the loopback device, and so
// do both of its legs. What its two ends send has the same two addresses on
// either leg; which leg a segment is of, its direction says, as everywhere.

// overLoopback notes which legs of a new flow lead over the loopback device;
// p is the client's, as it was taken.
func (f *flow) overLoopback(p *endpoint.Packet) {
	f.legs[endpoint.Client].header.Loopback = towardsCaller(p)
	f.legs[endpoint.Server].header.Loopback = p.Loopback
}

// towardsCaller tells whether the sender of p is reached over the loopback
// device. If it has called somebody else, and the host has translated that to
// an address of its own, the answer comes from an address that may not be the
// host's, and the loopback device is no way for that.
func towardsCaller(p *endpoint.Packet) bool { return p.Loopback && !p.Original.IsValid() }

// repeatedSYN tells a SYN that its sender, on this host, sends again. The
// host's filter has let the first one pass. Connection tracking must not see
// this one: our own SYN to the server has the same tuple and other sequence
// numbers, and so the two would seem to be one connection gone wrong.
func (s *Shard) repeatedSYN(p *endpoint.Packet) bool {
	if !p.Loopback {
		return false
	}
	ref, ok := s.flows[p.Tuple]
	return ok && ref.leg == endpoint.Client && ref.flow.legs[endpoint.Client].irs == p.Seq
}

// wholeMSS is the greatest MSS that a peer may be told, if its segments are to
// come whole: on the loopback device they may be longer than what a queue can
// hand over, and then the end of each one would have to be sent again.
func (s *Shard) wholeMSS(out *endpoint.Tuple, mss int) int {
	if s.opt.MaxPacket == 0 {
		return mss
	}
	return min(mss, s.opt.MaxPacket-headersOf(out))
}

// orphanHeader says which way an orphan's RST leaves. Of one between the host's
// own other addresses it is not known that it went over the loopback device;
// the leg's own device does for those.
func orphanHeader(out *endpoint.Tuple) Header {
	return Header{Loopback: netip.AddrFrom16(out.Src).Unmap().IsLoopback()}
}
