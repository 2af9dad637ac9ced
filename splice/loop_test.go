package splice

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// queueDevice is a device with a queue, for tests of Run.
type queueDevice struct {
	fakeDevice
	mu    sync.Mutex
	in    []*endpoint.Packet
	sent  int
	wake  chan struct{}
	fail  error
	start time.Time
}

func newQueueDevice() *queueDevice {
	return &queueDevice{wake: make(chan struct{}, 1), start: time.Now().Add(-time.Hour)}
}

func (d *queueDevice) Now() endpoint.Time { return endpoint.Time(time.Since(d.start)) }

func (d *queueDevice) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *queueDevice) push(p *endpoint.Packet) {
	d.mu.Lock()
	d.in = append(d.in, p)
	d.mu.Unlock()
	d.Wake()
}

func (d *queueDevice) Receive(wait time.Duration, handle Handler) error {
	var timeout <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-d.wake:
	case <-timeout:
	}
	d.mu.Lock()
	in := d.in
	d.in = nil
	err := d.fail
	d.mu.Unlock()
	for _, p := range in {
		handle(d.Now(), p)
	}
	return err
}

func (d *queueDevice) Send(l endpoint.Leg, t *endpoint.Tuple, h Header, s *endpoint.Segment) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent++
	return d.fakeDevice.Send(l, t, h, s)
}

func (d *queueDevice) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent
}

func syn(from string) *endpoint.Packet {
	return &endpoint.Packet{
		Hook:    endpoint.Late,
		Tuple:   endpoint.NewTuple(addrPort(from), addrPort("10.2.0.2:80")),
		Segment: endpoint.Segment{Seq: 100, Flags: endpoint.SYN, Window: 1000},
	}
}

// waitFor waits for a condition that another goroutine brings about.
func waitFor(t *testing.T, why string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", why)
		}
	}
}

func TestRunHandlesPacketsTimersAndQuestions(t *testing.T) {
	d := newQueueDevice()
	cfg := endpoint.DefaultConfig()
	cfg.InitialRTO = 20 * time.Millisecond
	cfg.MinRTO = 20 * time.Millisecond
	s := NewShard(d, Options{Endpoint: cfg})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	d.push(syn("10.1.0.1:1000"))
	waitFor(t, "the SYN and one more", func() bool { return d.count() >= 2 })
	flows := 0
	if err := s.Do(func(s *Shard) { flows = s.Counters().Flows }); err != nil || flows != 1 {
		t.Errorf("%d flows, %v", flows, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s.live.count != 0 {
		t.Error("a connection outlives the shard")
	}
	if err := s.Do(func(*Shard) { t.Error("asked after the end") }); !errors.Is(err, ErrStopped) {
		t.Errorf("Do after the end: %v", err)
	}
}

func TestRunEndsWhenTheDeviceFails(t *testing.T) {
	d := newQueueDevice()
	d.fail = errors.New("the queue is gone")
	d.Wake()
	err := NewShard(d, Options{Endpoint: endpoint.DefaultConfig()}).Run(t.Context())
	if !errors.Is(err, d.fail) || !strings.Contains(err.Error(), "shard 0") {
		t.Errorf("got %v", err)
	}
}

func TestDoIsBounded(t *testing.T) {
	s := NewShard(newQueueDevice(), Options{Endpoint: endpoint.DefaultConfig()})
	for range mailboxSize {
		s.questions <- question{func(*Shard) {}, make(chan struct{})}
	}
	if err := s.Do(func(*Shard) {}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

// TestAPacketOfAnotherShardFindsItsFlow: one shard gets the SYN, another one
// an answer that was meant for the first.
func TestAPacketOfAnotherShardFindsItsFlow(t *testing.T) {
	var devs [2]*queueDevice
	var shards []*Shard
	budget := &Budget{}
	for i := range devs {
		devs[i] = newQueueDevice()
		shards = append(shards, NewShard(devs[i], Options{
			Endpoint: endpoint.DefaultConfig(), Budget: budget, Index: i,
			ShardOf: func(port uint16) int { return int(port % 2) },
		}))
	}
	Connect(shards)
	now := devs[0].Now()
	// A SYN of an odd port at shard 0.
	if v := shards[0].HandlePacket(now, syn("10.1.0.1:1001")); v != endpoint.Take {
		t.Error("the SYN went on")
	}
	shards[1].ReadMail()
	shards[1].Transmit(now)
	if shards[0].live.count != 0 || shards[1].live.count != 1 || len(devs[1].out[endpoint.Server]) != 1 {
		t.Fatal("the SYN did not reach its shard")
	}
	iss := devs[1].out[endpoint.Server][0].seg.Seq
	synack := &endpoint.Packet{
		Hook:    endpoint.Late,
		Tuple:   endpoint.NewTuple(addrPort("10.2.0.2:80"), addrPort("10.1.0.1:1001")),
		Segment: endpoint.Segment{Seq: 500, Ack: iss + 1, Flags: endpoint.SYN | endpoint.ACK, Window: 1000},
	}
	if v := shards[0].HandlePacket(now, synack); v != endpoint.Take {
		t.Error("the SYN-ACK went on")
	}
	shards[1].ReadMail()
	shards[1].Transmit(now)
	if len(devs[1].out[endpoint.Client]) != 1 {
		t.Error("the client got no SYN-ACK")
	}
	// What nobody knows is sent on.
	stray := syn("10.1.0.1:1003")
	stray.Flags, stray.Hook, stray.Raw = endpoint.ACK, endpoint.Early, []byte("raw")
	if v := shards[0].HandlePacket(now, stray); v != endpoint.Take {
		t.Error("a stray packet of the other shard was accepted by this one as well")
	}
	shards[1].ReadMail()
	if len(devs[1].packets[endpoint.Server]) != 1 {
		t.Error("a stray packet was lost between the shards")
	}
	// An ICMP error is judged by the shard that it is about, and only there. One
	// about nothing of ours that is outstanding, or that no shard knows, goes on
	// to whom it was sent.
	icmp := &endpoint.Packet{
		Tuple: shards[1].live.first.legs[endpoint.Server].out, Segment: endpoint.Segment{Seq: iss},
		ICMP: &endpoint.ICMPError{Type: 3, Code: 1},
	}
	if v := shards[0].HandlePacket(now, icmp); v != endpoint.Take || len(shards[1].foreign) != 1 {
		t.Errorf("verdict %v, %d in the mailbox", v, len(shards[1].foreign))
	}
	shards[1].ReadMail()
	if len(devs[1].packets[endpoint.Client]) != 1 {
		t.Error("an ICMP error about a segment that is not ours was kept")
	}
	icmp.Tuple.DstPort, icmp.Raw = 9, []byte("raw")
	if v := shards[0].HandlePacket(now, icmp); v != endpoint.Take {
		t.Error("an ICMP error of the other shard was accepted by this one as well")
	}
	shards[1].ReadMail()
	if len(devs[1].packets[endpoint.Client]) != 2 {
		t.Error("an ICMP error about no flow was lost between the shards")
	}
	for range 2 * mailboxSize {
		shards[0].HandlePacket(now, stray)
	}
	if n := shards[0].Counters().Reasons[endpoint.ReasonForeignShard]; n != mailboxSize {
		t.Errorf("%d packets lost at a full mailbox, want %d", n, mailboxSize)
	}
}
