package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tcpmitm/config"
	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// device is a kernel's edge whose packets come from the test.
type device struct {
	packets chan *endpoint.Packet
	wake    chan struct{}
	sent    chan endpoint.Flags // to clients
	verdict chan endpoint.Verdict
	passed  atomic.Int64 // SYNs sent on as they came
	began   time.Time
}

func (d *device) Now() endpoint.Time { return endpoint.Time(time.Since(d.began)) + 1 }

func (d *device) Receive(wait time.Duration, handle splice.Handler) error {
	var timeout <-chan time.Time
	if wait >= 0 {
		timeout = time.After(wait)
	}
	select {
	case p := <-d.packets:
		d.verdict <- handle(d.Now(), p)
	case <-d.wake:
	case <-timeout:
	}
	return nil
}

func (d *device) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *device) Send(leg endpoint.Leg, _ *endpoint.Tuple, _ splice.Header, s *endpoint.Segment) error {
	if leg == endpoint.Client {
		d.sent <- s.Flags
	}
	return nil
}
func (d *device) SendPacket(endpoint.Leg, *endpoint.Packet) error { d.passed.Add(1); return nil }
func (*device) Flush()                                            {}

func (d *device) SendUnreachable(endpoint.Leg, splice.Header, *endpoint.ICMPError, *endpoint.Tuple, *endpoint.Segment) error {
	return nil
}

// fakeGateway is a gateway of one shard, client first, with one client that
// has sent its SYN; down notes what was taken down, and when.
func fakeGateway(t *testing.T, drain time.Duration) (g *gateway, d *device, down *[]string) {
	t.Helper()
	conf := config.Default()
	conf.Intercept.Drain = drain
	d = &device{
		packets: make(chan *endpoint.Packet), wake: make(chan struct{}, 1),
		sent: make(chan endpoint.Flags, 100), verdict: make(chan endpoint.Verdict, 100), began: time.Now(),
	}
	down = new([]string)
	g = &gateway{conf: conf, log: slog.New(slog.DiscardHandler), failed: make(chan error, 1)}
	g.shards = []*splice.Shard{splice.NewShard(d, splice.Options{Order: 1, Endpoint: endpoint.DefaultConfig()})}
	ctx, cancel := context.WithCancel(context.Background())
	g.running.Go(func() { _ = g.shards[0].Run(ctx) })
	g.later(func() error { cancel(); g.running.Wait(); *down = append(*down, "shards"); return nil })
	g.later(func() error { *down = append(*down, "firewall"); return nil })
	t.Cleanup(cancel)
	if v := d.syn(4000); v != endpoint.Take {
		t.Fatal("the SYN was not taken")
	}
	if f := <-d.sent; f != endpoint.SYN|endpoint.ACK {
		t.Fatalf("the client got %v, want SYN and ACK", f)
	}
	return g, d, down
}

// syn sends a client's SYN from a port and returns its verdict.
func (d *device) syn(port uint16) endpoint.Verdict {
	p := &endpoint.Packet{Tuple: endpoint.NewTuple(netip.AddrPortFrom(netip.MustParseAddr("10.1.0.2"), port), netip.MustParseAddrPort("10.2.0.2:80")), Hook: endpoint.Late}
	p.Segment = endpoint.Segment{Seq: 1000, Flags: endpoint.SYN, Window: 65535}
	d.packets <- p
	return <-d.verdict
}

func TestStopResetsBeforeTheRulesGo(t *testing.T) {
	g, d, down := fakeGateway(t, 0)
	var rstFirst bool
	g.later(func() error {
		for len(d.sent) > 0 {
			rstFirst = rstFirst || (<-d.sent).Has(endpoint.RST)
		}
		return nil
	})
	if err := g.stop(make(chan os.Signal)); err != nil {
		t.Fatal(err)
	}
	if !rstFirst {
		t.Error("the client got no RST while there was a way for it")
	}
	if want := []string{"firewall", "shards"}; !slices.Equal(*down, want) {
		t.Errorf("taken down in the order %v, want %v", *down, want)
	}
}

func TestDrain(t *testing.T) {
	g, _, _ := fakeGateway(t, 250*time.Millisecond)
	began := time.Now()
	if err := g.stop(make(chan os.Signal)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("the drain took %v, want its whole time, for the connection does not end", took)
	}
}

// A drain is over when the last connection is, and meanwhile new ones pass.
func TestDrainEndsEarly(t *testing.T) {
	g, d, _ := fakeGateway(t, time.Hour)
	stopped := make(chan error)
	go func() { stopped <- g.stop(make(chan os.Signal)) }()
	// A SYN that comes before the drain has begun is spliced, and in the way of
	// its end: then the next one is tried.
	for port := uint16(4001); d.passed.Load() == 0; port++ {
		d.syn(port)
		if port == 5000 {
			t.Fatal("no new connection passes during the drain")
		}
		time.Sleep(time.Millisecond)
	}
	g.each(func(s *splice.Shard) {
		if s.Counters().Flows == 0 {
			t.Error("the connection ended before its drain")
		}
		s.Shutdown(s.Now())
	})
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the drain goes on without a connection")
	}
}

func TestSecondSignalEndsTheDrain(t *testing.T) {
	g, _, _ := fakeGateway(t, time.Hour)
	signals := make(chan os.Signal, 1)
	stopped := make(chan error)
	go func() { stopped <- g.stop(signals) }()
	signals <- syscall.SIGTERM
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the second signal was not heard")
	}
}

func TestWait(t *testing.T) {
	g, _, _ := fakeGateway(t, 0)
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if err := g.wait(signals, nil); err != nil {
		t.Errorf("a signal gave %v", err)
	}
	broken := errors.New("broken")
	g.failed <- broken
	if err := g.wait(signals, nil); !errors.Is(err, broken) {
		t.Errorf("a shard that failed gave %v", err)
	}
	if err := g.stop(signals); err != nil {
		t.Error(err)
	}
}

// All parts are taken down, the last first, even if some cannot be.
func TestDown(t *testing.T) {
	g := &gateway{}
	var order []int
	broken := errors.New("broken")
	for i := range 3 {
		g.later(func() error {
			order = append(order, i)
			if i == 1 {
				return broken
			}
			return nil
		})
	}
	if err := g.down(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("order %v", order)
	}
	if err := g.down(); err != nil || len(order) != 3 {
		t.Error("a second time something was taken down again")
	}
}
