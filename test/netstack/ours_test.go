package netstack

import (
	"testing"

	"tcpmitm/endpoint"
)

// stack is one host with one connection.
type stack interface {
	connect()
	deliver(packet []byte)
	write(b []byte) int
	read(b []byte) int
	closeWrite()
	abort()
	close()

	established() bool
	eof() bool   // the peer's FIN has been read
	reset() bool // the connection has come to a bad end
	done() bool  // nothing is left but, perhaps, TIME-WAIT
}

// options is what both kinds of stack can be told.
type options struct {
	mtu     int
	sack    bool
	send    int  // octets of send buffer
	receive int  // octets of receive buffer
	newReno bool // ours
	// cubic is for gVisor's. In this version its window can come down to 0,
	// from which it never sends again (1 MiB over a link that corrupts 2 % of
	// the packets stood still for ever); its Reno is what interop can be
	// tested with.
	cubic bool

	// Ours only; gVisor's timestamps and window scale are always on.
	noTimestamps, noScale bool
	iss                   endpoint.Seq
}

func defaults() options {
	return options{mtu: 1500, sack: true, send: 1 << 20, receive: 1 << 20, iss: 1000}
}

// ours is tcpmitm's endpoint on a host.
type ours struct {
	t     *testing.T
	w     *world
	side  int
	cfg   endpoint.Config
	open  endpoint.Open
	e     *endpoint.Endpoint
	wake  *event
	out   func([]byte)
	saw   endpoint.Events
	trace func(from int, s *endpoint.Segment, n int)
}

func newOurs(t *testing.T, w *world, side int, o options, out func([]byte), passive bool) *ours {
	h := &ours{t: t, w: w, side: side, cfg: endpoint.DefaultConfig(), out: out}
	h.cfg.ReceiveBuffer, h.cfg.SendBuffer = o.receive, o.send
	if o.newReno {
		h.cfg.Congestion = "newreno"
	}
	h.open = endpoint.Open{ISS: o.iss, MSS: o.mtu - 40, MTU: o.mtu, WindowScale: 7, SACK: o.sack, Timestamps: !o.noTimestamps}
	if o.noScale {
		h.open.WindowScale = -1
	}
	h.wake = &event{index: -1, do: func() {
		h.e.HandleTimeout(w.now)
		h.flush()
	}}
	if passive {
		h.e = endpoint.NewPassive(&h.cfg, h.open)
	}
	return h
}

func (h *ours) connect() {
	h.e = endpoint.NewActive(h.w.now, &h.cfg, h.open)
	h.flush()
}

func (h *ours) deliver(packet []byte) {
	var s endpoint.Segment
	if h.e == nil || !decode(h.side, packet, &s) {
		return
	}
	h.e.HandleSegment(h.w.now, &s)
	h.flush()
}

// flush sends what is due, cut into packets as the kernel would cut it, and
// sets the alarm.
func (h *ours) flush() {
	var s endpoint.Segment
	for n := 0; h.e.PollSegment(h.w.now, &s); n++ {
		if n > 10_000 {
			h.t.Fatalf("sends without end: %+v", h.e.Info())
		}
		var payload []byte
		for _, p := range s.Pieces {
			payload = append(payload, p...)
		}
		s.Pieces = s.Pieces[:0]
		for first := true; first || len(payload) > 0; first = false {
			part, n := s, len(payload)
			if s.MSS > 0 && n > s.MSS {
				n = s.MSS
				part.Flags &^= endpoint.FIN | endpoint.PSH
			}
			if h.trace != nil {
				h.trace(h.side, &part, n)
			}
			h.out(encode(h.side, &part, payload[:n]))
			payload = payload[n:]
			s.Seq = s.Seq.Plus(n)
			s.Flags &^= endpoint.CWR
		}
	}
	h.saw |= h.e.TakeEvents()
	if err := h.e.Verify(); err != nil {
		h.t.Fatal(err)
	}
	if at := h.e.NextTimeout(); at == endpoint.Never {
		h.w.cancel(h.wake)
	} else if h.wake.index < 0 || h.wake.at != at {
		h.w.plan(h.wake, at)
	}
}

func (h *ours) write(b []byte) int {
	n := min(len(b), h.e.WriteSpace())
	if n > 0 {
		h.e.Write(h.w.now, endpoint.NewChunk(append([]byte(nil), b[:n]...), nil))
		h.flush()
	}
	return n
}

func (h *ours) read(b []byte) int {
	c, ok := h.e.Read(h.w.now, len(b))
	if !ok {
		return 0
	}
	n := copy(b, c.Data)
	c.Release()
	h.flush()
	return n
}

func (h *ours) closeWrite() { h.e.CloseWrite(h.w.now); h.flush() }
func (h *ours) abort()      { h.e.Abort(h.w.now); h.flush() }
func (h *ours) close()      {}

func (h *ours) established() bool { return h.saw.Has(endpoint.EventEstablished) }
func (h *ours) eof() bool         { return h.saw.Has(endpoint.EventPeerClosed) && h.e.Readable() == 0 }
func (h *ours) reset() bool {
	return h.saw&(endpoint.EventReset|endpoint.EventRefused|endpoint.EventTimeout) != 0
}
func (h *ours) done() bool {
	return h.e != nil && (h.e.State() == endpoint.Closed || h.e.State() == endpoint.TimeWait)
}
