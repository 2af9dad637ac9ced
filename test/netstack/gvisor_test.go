package netstack

import (
	"bytes"
	"math/rand"
	"os"
	"runtime"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	gvstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// TestMain gives the tests one processor: gVisor's goroutine and the test take
// turns, and handing over to another processor costs more than the turn.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

const nicID = 1

// nic is a network card without a queue of its own: what leaves is collected
// until the stack is at rest.
type nic struct {
	*channel.Endpoint
	out [][]byte
}

func (n *nic) WritePackets(pkts gvstack.PacketBufferList) (int, tcpip.Error) {
	for _, p := range pkts.AsSlice() {
		v := p.ToView()
		n.out = append(n.out, bytes.Clone(v.AsSlice()))
		v.Release()
	}
	return pkts.Len(), nil
}

// netstack is a host that is gVisor's.
type netstack struct {
	t        *testing.T
	w        *world
	side     int
	opts     options
	stack    *gvstack.Stack
	nic      *nic
	out      func([]byte)
	wq       waiter.Queue
	listener tcpip.Endpoint
	ep       tcpip.Endpoint
	ended    bool
	failed   tcpip.Error
	saw      bool // it was established
}

// clock is the world as gVisor sees it: what a timer does is done when the
// stack is at rest again.
type clock struct {
	*world
	h *netstack
}

func (c clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return c.world.AfterFunc(d, func() {
		f()
		c.h.settle()
	})
}

func newNetstack(t *testing.T, w *world, side int, o options, out func([]byte), passive bool) *netstack {
	h := &netstack{t: t, w: w, side: side, opts: o, out: out}
	seed := int64(o.iss)
	h.stack = gvstack.New(gvstack.Options{
		NetworkProtocols:   []gvstack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []gvstack.TransportProtocolFactory{tcp.NewProtocolCUBIC},
		Clock:              clock{w, h},
		RandSource:         rand.NewSource(seed),
		SecureRNG:          rand.New(rand.NewSource(seed + 1)),
	})
	// Half of a receive buffer of gVisor's is announced as the window.
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 1, Default: o.send, Max: o.send}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 1, Default: 2 * o.receive, Max: 2 * o.receive}
	sack, moderate, delay := tcpip.TCPSACKEnabled(o.sack), tcpip.TCPModerateReceiveBufferOption(false), tcpip.TCPDelayEnabled(false)
	cc := tcpip.CongestionControlOption("reno")
	if o.cubic {
		cc = "cubic"
	}
	for _, opt := range []tcpip.SettableTransportProtocolOption{&send, &receive, &sack, &moderate, &delay, &cc} {
		h.must(h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt))
	}
	h.nic = &nic{Endpoint: channel.New(1, uint32(o.mtu), "")}
	h.must(h.stack.CreateNIC(nicID, h.nic))
	h.must(h.stack.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFrom4(addresses[side]).WithPrefix(),
	}, gvstack.AddressProperties{}))
	h.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	ep, err := h.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &h.wq)
	h.must(err)
	h.must(ep.Bind(tcpip.FullAddress{Addr: tcpip.AddrFrom4(addresses[side]), Port: ports[side]}))
	if passive {
		h.must(ep.Listen(16))
		h.listener = ep
	} else {
		h.ep = ep
	}
	return h
}

func (h *netstack) must(err tcpip.Error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("gVisor: %v", err)
	}
}

// settle waits until the stack has done all that it can do at this moment,
// and lets go what it has sent. Its processor stops only when its queue is
// empty, so that the order of things is the same in each run.
func (h *netstack) settle() {
	h.stack.Pause()
	h.stack.Resume()
	if h.listener != nil && h.ep == nil {
		if ep, _, err := h.listener.Accept(nil); err == nil {
			h.ep = ep
		}
	}
	out := h.nic.out
	h.nic.out = nil
	for _, p := range out {
		h.out(p)
	}
}

func (h *netstack) connect() {
	err := h.ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFrom4(addresses[1-h.side]), Port: ports[1-h.side]})
	if _, ok := err.(*tcpip.ErrConnectStarted); !ok {
		h.must(err)
	}
	h.settle()
}

func (h *netstack) deliver(packet []byte) {
	p := gvstack.NewPacketBuffer(gvstack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	h.nic.InjectInbound(ipv4.ProtocolNumber, p)
	p.DecRef()
	h.settle()
}

func (h *netstack) write(b []byte) int {
	if !h.established() {
		return 0
	}
	n, err := h.ep.Write(bytes.NewReader(b), tcpip.WriteOptions{})
	h.note(err)
	h.settle()
	return int(n)
}

func (h *netstack) read(b []byte) int {
	if h.ep == nil || h.ended {
		return 0
	}
	w := tcpip.SliceWriter(b)
	r, err := h.ep.Read(&w, tcpip.ReadOptions{})
	switch err.(type) {
	case *tcpip.ErrClosedForReceive:
		h.ended = true
	default:
		h.note(err)
	}
	if r.Count > 0 {
		h.settle()
	}
	return r.Count
}

func (h *netstack) note(err tcpip.Error) {
	switch err.(type) {
	case nil, *tcpip.ErrWouldBlock, *tcpip.ErrClosedForSend, *tcpip.ErrNotConnected, *tcpip.ErrInvalidEndpointState:
	default:
		h.failed = err
	}
}

func (h *netstack) closeWrite() {
	h.note(h.ep.Shutdown(tcpip.ShutdownWrite))
	h.settle()
}

func (h *netstack) abort() {
	h.ep.Abort()
	h.settle()
}

// close ends the stack and its goroutines.
func (h *netstack) close() {
	if h.listener != nil {
		h.listener.Close()
	}
	if h.ep != nil {
		h.ep.Close()
	}
	h.stack.Destroy()
}

func (h *netstack) state() tcp.EndpointState {
	if h.ep == nil {
		return tcp.StateListen
	}
	return tcp.EndpointState(h.ep.State())
}

func (h *netstack) established() bool {
	s := h.state()
	h.saw = h.saw || s == tcp.StateEstablished || s == tcp.StateCloseWait
	return h.saw
}
func (h *netstack) eof() bool   { return h.ended }
func (h *netstack) reset() bool { return h.failed != nil || h.state() == tcp.StateError }
func (h *netstack) done() bool {
	s := h.state()
	return s == tcp.StateClose || s == tcp.StateTimeWait || s == tcp.StateError
}
