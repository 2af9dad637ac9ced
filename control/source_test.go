package control

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

// device is a kernel's edge whose packets come from the test.
type device struct {
	packets chan *endpoint.Packet
	wake    chan struct{}
	began   time.Time
}

func newDevice() *device {
	return &device{packets: make(chan *endpoint.Packet, 16), wake: make(chan struct{}, 1), began: time.Now()}
}

func (d *device) Now() endpoint.Time { return endpoint.Time(time.Since(d.began)) + 1 }

func (d *device) Receive(wait time.Duration, handle splice.Handler) error {
	var timeout <-chan time.Time
	if wait >= 0 {
		timeout = time.After(wait)
	}
	select {
	case p := <-d.packets:
		handle(d.Now(), p)
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

func (d *device) Send(endpoint.Leg, *endpoint.Tuple, splice.Header, *endpoint.Segment) error {
	return nil
}
func (d *device) SendPacket(endpoint.Leg, *endpoint.Packet) error { return nil }
func (*device) Flush()                                            {}

func (d *device) SendUnreachable(endpoint.Leg, splice.Header, *endpoint.ICMPError, *endpoint.Tuple, *endpoint.Segment) error {
	return nil
}

// gateway is a source with shards that run, and their devices.
type gateway struct {
	*Source
	devices []*device
	stop    func()
}

func newGateway(t *testing.T, shards int, set *rules.Set) *gateway {
	t.Helper()
	return newObserved(t, shards, set, nil)
}

// newObserved is newGateway with a tracer that observes it.
func newObserved(t *testing.T, shards int, set *rules.Set, tracer *trace.Tracer) *gateway {
	t.Helper()
	var observer splice.Observer
	if tracer != nil {
		observer = tracer
	}
	pointer := &atomic.Pointer[rules.Set]{}
	pointer.Store(set)
	g := &gateway{Source: &Source{
		Version: "test", Started: time.Now(), Rules: pointer.Load,
		Edge: func(shard int) Edge {
			e := Edge{PacketsIn: 1 << shard, Accepted: 2, Overruns: 3, PacketsOut: 5, LostOut: 7}
			e.Reasons[endpoint.ReasonBadChecksum] = 10
			return e
		},
		Lost:   func() (uint64, uint64) { return 8, 9 },
		Tracer: tracer,
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	budget := &splice.Budget{}
	for i := range shards {
		d := newDevice()
		s := splice.NewShard(d, splice.Options{Rules: pointer, Budget: budget, Endpoint: endpoint.DefaultConfig(), Index: i, Observer: observer, EndsOnly: true})
		g.devices = append(g.devices, d)
		g.Shards = append(g.Shards, s)
		wg.Go(func() { _ = s.Run(ctx) })
	}
	g.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(g.stop)
	return g
}

// syn lets a client's SYN come to a shard.
func (g *gateway) syn(shard int, client, server string) {
	p := &endpoint.Packet{
		Tuple: endpoint.NewTuple(netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)),
		Hook:  endpoint.Late,
	}
	p.Segment = endpoint.Segment{Seq: 1000, Flags: endpoint.SYN, Window: 65535}
	p.Segment.Options = endpoint.Options{Has: endpoint.HasMSS, MSS: 1460}
	g.devices[shard].packets <- p
}

// eventually gives shards a moment to see what they were sent.
func eventually(t *testing.T, why string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("this did not come true: %s", why)
}

// wantCount waits until the shards have that many connections.
func (g *gateway) wantCount(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the shards have the connections", func() bool {
		c, err := g.counters()
		return err == nil && c.Connections == n
	})
}

func TestConnectionsOfAllShards(t *testing.T) {
	set := rules.New([]*rules.Rule{{Name: "web", Match: rules.Match{Probability: 1, ServerPorts: []rules.PortRange{{First: 80, Last: 80}}}}})
	g := newGateway(t, 2, set)
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.syn(1, "[fd01::2]:4001", "[fd02::2]:81")
	g.wantCount(t, 2)
	c, err := g.connections(10, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Total != 2 || len(c.List) != 2 {
		t.Fatalf("total %d, %d listed, want 2 and 2", c.Total, len(c.List))
	}
	one := c.List[0]
	if one.Client.String() != "10.1.0.2:4000" || one.Server.String() != "10.2.0.2:80" || one.Rule != "web" ||
		one.ClientLeg.State != "LISTEN" || one.ServerLeg.State != "SYN-SENT" || one.ClientLeg.IRS != 1000 || one.Age <= 0 {
		t.Errorf("the first connection: %+v", one)
	}
	if two := c.List[1]; two.Client.String() != "[fd01::2]:4001" || two.Rule != "" {
		t.Errorf("the second connection: %+v", two)
	}
	if c, _ := g.connections(1, true, nil); c.Total != 2 || len(c.List) != 1 {
		t.Errorf("with a limit of 1: total %d, %d listed, want 2 and 1", c.Total, len(c.List))
	}
}

func TestCountersOfAllShards(t *testing.T) {
	set := rules.New([]*rules.Rule{{Name: "no", Action: rules.Reset, Match: rules.Match{Probability: 1, ServerPorts: []rules.PortRange{{First: 7, Last: 7}}}}})
	g := newGateway(t, 2, set)
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.syn(1, "10.1.0.2:4001", "10.2.0.2:7")
	eventually(t, "both SYNs are seen", func() bool {
		c, err := g.counters()
		return err == nil && c.Opened == 1 && c.Reset == 1
	})
	c, err := g.counters()
	if err != nil {
		t.Fatal(err)
	}
	if c.HalfOpen != 1 || c.Shards != 2 || c.Version != "test" || c.Goroutines < 2 || c.Timers != 1 {
		t.Errorf("counters %+v", c)
	}
	if c.Edge.PacketsIn != 3 || c.Edge.Overruns != 6 || c.Edge.LostOut != 14 || c.Drops["bad-checksum"] != 20 {
		t.Errorf("the edge's counters are not those of both shards: %+v", c.Edge)
	}
	if len(c.Drops) != int(endpoint.NumReasons)-1 {
		t.Errorf("%d reasons, want all %d", len(c.Drops), endpoint.NumReasons-1)
	}
	if len(c.Rules) != 1 || c.Rules[0] != (RuleCount{Name: "no", Action: "reset", Reached: 1, Taken: 1}) {
		t.Errorf("rules %+v", c.Rules)
	}
	if c.TraceLost != 8 || c.EndsNotLogged != 9 {
		t.Errorf("lost %d and %d", c.TraceLost, c.EndsNotLogged)
	}
}

func TestStoppedShard(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.stop()
	if _, err := g.counters(); err == nil {
		t.Error("a stopped shard answers")
	}
	if _, err := g.connections(1, true, nil); err == nil {
		t.Error("a stopped shard lists connections")
	}
}
