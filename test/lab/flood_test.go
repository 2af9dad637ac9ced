package lab

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var floodFor = flag.Duration("flood", 8*time.Second, "how long TestSYNFlood floods")

const (
	floodHalfOpen = 1024
	floodMemory   = 256 << 20 // octets
	// A client that tries for so long without a connection and an answer has
	// failed; what succeeds does so within floodDelay, of 20 clients 19: the
	// first SYN of most is not answered (1 s), and one more may be lost (3 s).
	floodPatience = 10 * time.Second
	floodDelay    = 5 * time.Second
)

const floodConfig = clientSide + `
[limits]
half_open = 1024
memory    = "256MiB"
over_limit = "drop"
`

// floodNets are where the SYNs pretend to come from.
var floodNets = []netip.Prefix{
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("2001:db8:0:1::/64"), netip.MustParsePrefix("2001:db8:0:2::/64"),
	// And from everywhere, one in as many as there are nets.
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("2001:db8:8000::/33"),
}

// TestSYNFlood floods the gateway with spoofed SYNs, as many as the machine can
// make, for 8 s or as long as -flood says. Meanwhile honest clients go on.
func TestSYNFlood(t *testing.T) {
	// Not in parallel with others: it takes what the machine has.
	if Plain {
		t.Log("plain forwarding floods the server")
		return
	}
	l := New(t, Options{})
	l.floodRoutes()
	www := startNginx(t, l)
	payload(t, www+"/small.bin", 1, 4<<10)
	p := l.StartProxy(floodConfig)
	for _, f := range []Family{IPv4, IPv6} {
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			_ = c.SetDeadline(time.Now().Add(*floodFor + commandLimit))
			echo(c)
		})
	}
	old := map[Family]*net.TCPConn{IPv4: dial(t, l, IPv4.At(7000)), IPv6: dial(t, l, IPv6.At(7000))}

	stop := make(chan struct{})
	var all sync.WaitGroup
	halt := sync.OnceFunc(func() { close(stop); all.Wait() })
	t.Cleanup(halt)
	for _, c := range old {
		_ = c.SetDeadline(time.Now().Add(*floodFor + commandLimit))
	}
	var flooded atomic.Uint64
	all.Go(func() { flooded.Store(l.flood(t, stop)) })
	rss := watchRSS(t, p, stop, &all)
	eventually(t, "the flood is told of", soon, func() (bool, string) {
		return strings.Contains(p.Log(), `msg="SYN flood"`), p.Log()
	})
	honest := newHonest(l)
	began := time.Now()
	honest.start(stop, &all)
	end := time.After(*floodFor)
	for over := false; !over; {
		select {
		case <-end:
			over = true
		case <-time.After(time.Second):
		}
		for f, c := range old {
			exchange(t, "an old connection under the flood, "+f.String(), c, "still here")
		}
	}
	wantFloodShown(t, p)
	counters := floodCounters(t, p)
	halt()
	took := time.Since(began)
	t.Logf("flood: %d SYNs in %v, %.0f a second; %d came to tcpmitm, %d cookies were sent", flooded.Load(), took.Round(time.Millisecond),
		float64(flooded.Load())/took.Seconds(), counters.Edge.PacketsIn, counters.CookiesSent)
	t.Logf("kernel: %s", counters.queues())
	honest.judge(t)
	t.Logf("resident set at most %d MiB, limit %d MiB", rss.Load()>>20, floodMemory>>20)
	if rss.Load() == 0 || rss.Load() > floodMemory {
		t.Errorf("the resident set was %d octets, the limit is %d", rss.Load(), floodMemory)
	}
	if counters.HalfOpen > floodHalfOpen+100 {
		t.Errorf("%d handshakes are half-open, the limit is %d", counters.HalfOpen, floodHalfOpen)
	}
	if counters.CookiesSent < 10_000 || counters.CookiesAccepted == 0 {
		t.Errorf("%d cookies sent and %d accepted: they did not switch on", counters.CookiesSent, counters.CookiesAccepted)
	}
	eventually(t, "the end of the flood is told of", 20*time.Second, func() (bool, string) {
		return strings.Contains(p.Log(), `msg="the SYN flood is over"`), p.Log()
	})
	for f, c := range old {
		exchange(t, "an old connection after the flood, "+f.String(), c, "still here")
	}
	lines := Lines(p.Log(), "SYN flood")
	t.Log(strings.Join(lines, "\n"))
	if most := 3 + int(*floodFor/time.Minute); len(lines) > most {
		t.Errorf("%d lines about the flood, want at most %d", len(lines), most)
	}
}

// Lines are those that contain some text.
func Lines(text, part string) (out []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// floodRoutes lets answers to addresses that nobody has leave towards the
// client, as they would towards the Internet.
func (l *Lab) floodRoutes() {
	l.t.Helper()
	l.Gateway.batch("route add default via 10.1.0.2", "route add ::/0 via fd01::2")
}

// flood sends spoofed SYNs until stop, and returns how many.
func (l *Lab) flood(t *testing.T, stop <-chan struct{}) uint64 {
	s, err := l.Client.OpenSender(clientDevice, clientMAC, lanMAC)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 1))
	for i := 0; ; i++ {
		if i%senderBurst == 0 {
			select {
			case <-stop:
				return s.Sent
			default:
			}
		}
		from := randomIn(r, floodNets[i%len(floodNets)])
		f := IPv6
		if from.Is4() {
			f = IPv4
		}
		b, err := s.Next(f)
		if err != nil {
			t.Error(err)
			return s.Sent
		}
		port := uint16(80)
		if i&1 == 1 {
			port = 7000
		}
		s.Add(putSYN(b, netip.AddrPortFrom(from, uint16(1024+r.IntN(60000))), f.At(port), r.Uint32()))
	}
}

// randomIn is an address of a net.
func randomIn(r *rand.Rand, p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		host := r.Uint32() >> p.Bits()
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|host)
		return netip.AddrFrom4(a)
	}
	a := p.Addr().As16()
	if p.Bits() < 64 {
		binary.BigEndian.PutUint64(a[:], binary.BigEndian.Uint64(a[:])|r.Uint64()>>p.Bits())
	}
	binary.BigEndian.PutUint64(a[8:], r.Uint64())
	return netip.AddrFrom16(a)
}

// synOptions are those of a Linux client.
var synOptions = []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}

// putSYN writes a SYN with its IP header and returns how long it is.
func putSYN(b []byte, from, to netip.AddrPort, seq uint32) int {
	n := 20 + len(synOptions)
	at := PutIP(b, from.Addr(), to.Addr(), unix.IPPROTO_TCP, n)
	putTCP(b[at:], from.Port(), to.Port(), seq, 0, 0x02, n)
	copy(b[at+20:], synOptions)
	SumPayload(b, at, n, 16)
	return at + n
}

// putTCP writes a TCP header of n octets, its checksum left out.
func putTCP(b []byte, from, to uint16, seq, ack uint32, flags byte, n int) {
	clear(b[:20])
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = byte(n/4)<<4, flags
	binary.BigEndian.PutUint16(b[14:], 64240)
}

// watchRSS reads the program's resident set, in octets, and keeps the largest.
func watchRSS(t *testing.T, p *Proxy, stop <-chan struct{}, all *sync.WaitGroup) *atomic.Int64 {
	t.Helper()
	var most atomic.Int64
	look := func() {
		n, err := p.RSS()
		if err != nil {
			t.Error(err)
		}
		most.Store(max(most.Load(), n))
	}
	look()
	all.Go(func() {
		for {
			select {
			case <-stop:
				look()
				return
			case <-time.After(200 * time.Millisecond):
				look()
			}
		}
	})
	return &most
}

// RSS is the resident set of the program, in octets.
func (p *Proxy) RSS() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %s", status)
}

// floodCount is what of the counters a flood is judged by.
type floodCount struct {
	HalfOpen        int               `json:"half_open"`
	CookiesSent     uint64            `json:"cookies_sent"`
	CookiesAccepted uint64            `json:"cookies_accepted"`
	Drops           map[string]uint64 `json:"drops"`
	Edge            struct {
		PacketsIn uint64 `json:"packets_in"`
	} `json:"edge"`
	Queues []struct {
		Number     int    `json:"number"`
		QueueFull  uint64 `json:"queue_full"`
		SocketFull uint64 `json:"socket_full"`
	} `json:"queues"`
	Client struct {
		SegmentsOut uint64 `json:"segments_out"`
	} `json:"client_leg"`
	Server struct {
		SegmentsOut uint64 `json:"segments_out"`
	} `json:"server_leg"`
}

func (c *floodCount) queues() string {
	var parts []string
	for _, q := range c.Queues {
		parts = append(parts, fmt.Sprintf("queue %d lost %d, its socket %d", q.Number, q.QueueFull, q.SocketFull))
	}
	return strings.Join(parts, "; ")
}

// floodCounters asks until tcpmitm has time for an answer.
func floodCounters(t *testing.T, p *Proxy) (c floodCount) {
	t.Helper()
	eventually(t, "the counters", soon, func() (bool, string) {
		err := p.Ask("/v1/counters", &c)
		return err == nil, fmt.Sprint(err)
	})
	return c
}

// wantFloodShown wants `tcpmitm ss` to show where the flood comes from.
func wantFloodShown(t *testing.T, p *Proxy) {
	t.Helper()
	out := p.SS("--limit", "3")
	for _, want := range []string{"SYN flood for ", "SYN-RECV ", "198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24", "2001:db8:0:1::/64", "2001:db8:0:2::/64"} {
		if !strings.Contains(out, want) {
			t.Errorf("tcpmitm ss does not say %q:\n%s", want, out)
		}
	}
	t.Logf("tcpmitm ss:\n%s", out)
}

// honest are clients that mean it: a real program, and connections of this
// one's that send a line and want it back.
type honest struct {
	lab *Lab

	mu    sync.Mutex
	kinds map[string]*tally
}

// tally is how clients of one kind fared.
type tally struct {
	took   []time.Duration // of those that succeeded
	failed []string
}

func newHonest(l *Lab) *honest { return &honest{lab: l, kinds: map[string]*tally{}} }

func (h *honest) note(kind string, took time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.kinds[kind]
	if n == nil {
		n = &tally{}
		h.kinds[kind] = n
	}
	if err != nil {
		n.failed = append(n.failed, err.Error())
		return
	}
	n.took = append(n.took, took)
}

// start lets them go on until stop, each after the other of its kind.
func (h *honest) start(stop <-chan struct{}, all *sync.WaitGroup) {
	again := func(kind string, pause time.Duration, try func() error) {
		all.Go(func() {
			for {
				began := time.Now()
				err := try()
				h.note(kind, time.Since(began), err)
				select {
				case <-stop:
					return
				case <-time.After(pause):
				}
			}
		})
	}
	for _, f := range []Family{IPv4, IPv6} {
		for range 2 {
			again("curl "+f.String(), 100*time.Millisecond, func() error { return h.curl(f) })
		}
		for range 3 {
			again("go "+f.String(), 50*time.Millisecond, func() error { return h.exchange(f) })
		}
	}
}

func (h *honest) curl(f Family) error {
	out, err := h.lab.Client.Try("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-g",
		"--max-time", strconv.Itoa(int(floodPatience.Seconds())), "http://"+hostPort(f.At(80))+"/small.bin")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if out != "200 4096" {
		return fmt.Errorf("curl got %q", out)
	}
	return nil
}

func (h *honest) exchange(f Family) error {
	ctx, cancel := context.WithTimeout(context.Background(), floodPatience)
	defer cancel()
	c, err := h.lab.Client.DialContext(ctx, "tcp", f.At(7000).String())
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	const text = "a line that comes back"
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != text {
		return fmt.Errorf("sent %q, got %q", text, b)
	}
	return nil
}

// judge wants 19 of 20 of each kind to have succeeded, and 19 of 20 of all
// these in time.
func (h *honest) judge(t *testing.T) {
	t.Helper()
	var took []time.Duration
	for kind, n := range h.kinds {
		took = append(took, n.took...)
		all := len(n.took) + len(n.failed)
		slices.Sort(n.took)
		if len(n.took) == 0 {
			t.Errorf("%s: none of %d succeeded: %v", kind, all, n.failed)
			continue
		}
		p50, p95, most := n.took[len(n.took)/2], n.took[len(n.took)*95/100], n.took[len(n.took)-1]
		t.Logf("%s: %d of %d succeeded, half within %v, 95%% within %v, all within %v", kind, len(n.took), all,
			p50.Round(time.Millisecond), p95.Round(time.Millisecond), most.Round(time.Millisecond))
		if len(n.took)*20 < all*19 {
			t.Errorf("%s: %d of %d failed, for example: %s", kind, len(n.failed), all, n.failed[0])
		}
		if all < 5 {
			t.Errorf("%s: only %d tries", kind, all)
		}
	}
	if slices.Sort(took); len(took) > 0 && took[len(took)*95/100] > floodDelay {
		t.Errorf("of 20 that succeeded one took longer than %v, allowed are %v", took[len(took)*95/100], floodDelay)
	}
}
