package splice

import (
	"time"

	"tcpmitm/endpoint"
)

// Device is the kernel's edge as one shard sees it. All methods but Wake
// belong to the shard's goroutine.
type Device interface {
	// Now reads the clock that stamps the packets.
	Now() endpoint.Time
	// Receive waits at most wait for packets (a negative wait is without
	// end, 0 does not wait), and hands one burst to handle, each with the time
	// it was read. Their verdicts are given with the next Flush. It returns
	// early, without a packet, after Wake. An error is final.
	Receive(wait time.Duration, handle Handler) error
	// Send queues a segment towards the peer of a leg; it leaves at the latest
	// with Flush or the next Receive. The segment's pieces are not kept after
	// the call.
	Send(leg endpoint.Leg, t *endpoint.Tuple, h Header, s *endpoint.Segment) error
	// SendPacket sends the whole IP packet p.Raw, over the loopback device if
	// that is where it was taken. Its checksums are valid or, for a TCP packet
	// taken by Receive, as they were when it was taken.
	SendPacket(leg endpoint.Leg, p *endpoint.Packet) error
	// SendUnreachable tells the sender of a segment that it could not be
	// delivered: an ICMP error e, from e.From to the segment's source,
	// quoting the segment's header as its sender sent it (t, s). Of h only the
	// way is taken.
	SendUnreachable(leg endpoint.Leg, h Header, e *endpoint.ICMPError, t *endpoint.Tuple, s *endpoint.Segment) error
	// Flush makes what was sent leave. Receive does so by itself.
	Flush()
	// Wake makes a Receive of the present or the next call return. It may be
	// called from any goroutine.
	Wake()
}

// Handler judges one packet; p is valid during the call only.
type Handler = func(now endpoint.Time, p *endpoint.Packet) endpoint.Verdict

// Header is what of the IP header an endpoint's owner decides.
type Header = endpoint.IPHeader
