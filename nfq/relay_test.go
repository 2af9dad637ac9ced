package nfq

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"tcpmitm/endpoint"
)

// relay is the least that can stand between a client and a server: it takes
// every packet of the connections to one port and sends it on, unchanged, by
// the other leg. The two kernels then talk to each other, so that whatever
// the edge does wrong shows in their connection.
type relay struct {
	t      testing.TB
	port   *Port
	fw     *Firewall
	shard  int
	server uint16 // port

	// afterwards has what is sent on leave when the burst has been read, as a
	// shard does it.
	afterwards bool
	late       []onward

	// intercept, if set, sees each packet first; true ends the matter.
	intercept func(r *relay, p *endpoint.Packet) (endpoint.Verdict, bool)

	mu      sync.Mutex
	stopped bool
	done    chan struct{}

	// translated maps the server that conntrack made of a destination back
	// to that destination, and forth.
	translated map[netip.AddrPort]netip.AddrPort
	inverse    map[endpoint.Tuple]netip.AddrPort // by what the server sends

	taken, accepted, foreign atomic.Uint64
	mallocs                  atomic.Uint64 // of the whole process while it ran
	tooBig                   atomic.Int64  // MTU of the last "too big" about us
}

// onward is a segment that is sent on when its burst has been read.
type onward struct {
	leg    endpoint.Leg
	tuple  endpoint.Tuple
	header endpoint.IPHeader
	s      endpoint.Segment
}

// send sends a segment on, now or when the burst has been read.
func (r *relay) send(o onward) {
	if r.afterwards {
		o.s.Payload = append([]byte(nil), o.s.Payload...) // its slab is used again
		r.late = append(r.late, o)
		return
	}
	r.sendNow(&o)
}

func (r *relay) sendNow(o *onward) {
	if err := r.port.Send(o.leg, &o.tuple, o.header, &o.s); err != nil {
		r.t.Errorf("Send: %v", err)
	}
}

func (r *relay) handle(now endpoint.Time, p *endpoint.Packet) endpoint.Verdict {
	if r.intercept != nil {
		if v, done := r.intercept(r, p); done {
			return v
		}
	}
	if p.ICMP != nil {
		if p.ICMP.MTU > 0 {
			r.tooBig.Store(int64(p.ICMP.MTU))
		}
		r.accepted.Add(1)
		return endpoint.Accept
	}
	t := p.Tuple
	toServer := t.DstPort == r.server
	if to, ok := r.translated[p.Destination()]; ok && p.Hook == endpoint.Early {
		toServer = true
		t.Dst, t.DstPort = to.Addr().As16(), to.Port()
	}
	syn := p.Flags&(endpoint.SYN|endpoint.ACK) == endpoint.SYN
	if p.Original.IsValid() {
		if r.translated == nil {
			r.translated, r.inverse = map[netip.AddrPort]netip.AddrPort{}, map[endpoint.Tuple]netip.AddrPort{}
		}
		r.translated[p.Original], r.inverse[p.Tuple.Reverse()] = p.Destination(), p.Original
	}
	client := t.SrcPort
	if !toServer {
		client = t.DstPort
	}
	switch {
	case toServer && (p.Hook == endpoint.Early) == !syn:
	case t.SrcPort == r.server && p.Hook == endpoint.Late:
	default:
		r.accepted.Add(1)
		return endpoint.Accept
	}
	if r.fw.ShardOf(client) != r.shard {
		r.foreign.Add(1)
	}
	leg := endpoint.Server
	if !toServer {
		leg = endpoint.Client
		if from, ok := r.inverse[p.Tuple]; ok {
			t.Src, t.SrcPort = from.Addr().As16(), from.Port()
		}
	}
	s := p.Segment
	s.MSS = 1448
	if !t.IsIPv4() {
		s.MSS = 1428
	}
	r.send(onward{leg, t, endpoint.IPHeader{TTL: p.TTL, DSCP: p.DSCP}, s})
	r.taken.Add(1)
	return endpoint.Take
}

func (r *relay) loop() {
	defer close(r.done)
	handle := r.handle // a method value costs an allocation each time it is made
	for {
		r.mu.Lock()
		stopped := r.stopped
		r.mu.Unlock()
		if stopped {
			return
		}
		if err := r.port.Receive(-1, handle); err != nil {
			r.t.Errorf("Receive: %v", err)
			return
		}
		for i := range r.late {
			r.sendNow(&r.late[i])
		}
		r.late = r.late[:0]
	}
}

// stop ends the loop; the port's counters may then be read.
func (r *relay) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.port.Wake()
	<-r.done
}

// startRelays starts a relay for each queue of in, in a namespace.
func startRelays(t testing.TB, ns netns.NsHandle, in Intercept, server uint16, intercept func(*relay, *endpoint.Packet) (endpoint.Verdict, bool)) []*relay {
	t.Helper()
	fw := newFirewall(t, in)
	var relays []*relay
	var tuns *TUNs
	inNamespace(t, ns, func() {
		var err error
		if tuns, err = OpenTUNs(TUNConfig{Shards: fw.in.Queues, Local: in.Mode == Local}); err != nil {
			t.Error(err)
			return
		}
		for i := range fw.in.Queues {
			p, err := OpenPort(PortConfig{Queue: fw.QueueNumber(i), Pool: endpoint.NewPool(0), TUNs: tuns, Shard: i, Carry: in.Mode == Gateway})
			if err != nil {
				t.Error(err)
				return
			}
			relays = append(relays, &relay{t: t, port: p, fw: fw, shard: i, server: server, intercept: intercept, done: make(chan struct{})})
		}
		if w, err := fw.Install(); err != nil || len(w)+len(tuns.Warnings) > 0 {
			t.Errorf("Install: %v, warnings %q %q", err, w, tuns.Warnings)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	for _, r := range relays {
		go r.loop()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(run(t, ns, "iptables -vnxL -t raw; iptables -vnxL -t mangle; iptables -vnxL; cat /proc/net/netfilter/nfnetlink_queue; ip -s link; nstat -a | grep -v ' 0 '"))
		}
		for _, r := range relays {
			r.stop()
			c := r.port.Counters()
			if t.Failed() {
				t.Logf("shard %d: took %d, accepted %d, counted %+v", r.shard, r.taken.Load(), r.accepted.Load(), c)
			}
			if err := r.port.Close(); err != nil {
				t.Errorf("closing the port: %v", err)
			}
		}
		if err := tuns.Close(); err != nil {
			t.Errorf("closing the devices: %v", err)
		}
	})
	return relays
}

func listen(t testing.TB, ns netns.NsHandle, address string) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	inNamespace(t, ns, func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t testing.TB, ns netns.NsHandle, address string) (net.Conn, error) {
	t.Helper()
	var c net.Conn
	var err error
	inNamespace(t, ns, func() { c, err = net.DialTimeout("tcp", address, 5*time.Second) })
	if err == nil {
		c.SetDeadline(time.Now().Add(60 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// serveEcho answers each connection with the SHA-256 of what it sent, and
// sends size octets before that.
func serveSum(t *testing.T, l net.Listener, size int) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				h := sha256.New()
				if _, err := io.Copy(h, c); err != nil {
					t.Errorf("server reads: %v", err)
					return
				}
				data := make([]byte, size)
				rand.Read(data)
				down := sha256.Sum256(data)
				c.Write(data)
				c.Write(h.Sum(nil))
				c.Write(down[:])
			}()
		}
	}()
}

// wantTransfer sends size octets over a connection, closes its half, and
// then receives as many; what arrived must be what was sent.
func wantTransfer(t testing.TB, ns netns.NsHandle, address string, size int) {
	t.Helper()
	dialled := time.Now()
	c, err := dial(t, ns, address)
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	t.Logf("%s: connected after %v", address, time.Since(dialled))
	data := make([]byte, size)
	rand.Read(data)
	start := time.Now()
	if _, err := c.Write(data); err != nil {
		t.Fatalf("client writes: %v", err)
	}
	c.(*net.TCPConn).CloseWrite()
	up := time.Since(start)
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("client reads: %v", err)
	}
	if len(got) != size+2*sha256.Size {
		t.Fatalf("client received %d octets, want %d", len(got), size+2*sha256.Size)
	}
	upload, download := [32]byte(got[size:size+32]), [32]byte(got[size+32:])
	if upload != sha256.Sum256(data) {
		t.Error("what the server received is not what the client sent")
	}
	if download != sha256.Sum256(got[:size]) {
		t.Error("what the client received is not what the server sent")
	}
	t.Logf("%s: %d MB up at %.1f Gbit/s, all in %v", address, size>>20, float64(size)*8/1e9/up.Seconds(), time.Since(start))
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func address(ip string, port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }
