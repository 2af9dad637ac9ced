package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"tcpmitm/config"
	"tcpmitm/endpoint"
	"tcpmitm/nfq"
	"tcpmitm/splice"
)

// What a run tells its guard arrives as it was said.
func TestGuardOrders(t *testing.T) {
	conf := config.Default()
	conf.Intercept.Servers = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	conf.Intercept.ClientSide, conf.Intercept.WhenDown = []string{"lan0"}, config.Block
	said := guardOrders{Run: 7, Intercept: interceptOf(&conf.Intercept), Wait: time.Second, Forever: true, Ledger: "/run/x.ledger", Log: conf.Log}
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	var heard guardOrders
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(heard)
	if err != nil || string(again) != string(text) {
		t.Errorf("said %s\nheard %s (%v)", text, again, err)
	}
	if heard.Intercept.Bypass || len(heard.Intercept.Servers) != 2 || heard.Run != 7 || !heard.Forever {
		t.Errorf("heard %+v", heard)
	}
}

// Orphans go to the shards of their client ports, all of them, however many.
func TestAdoptSpreadsOrphans(t *testing.T) {
	const n = 3*adoptAtOnce + 1
	var shards []*splice.Shard
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 2 {
		d := &device{packets: make(chan *endpoint.Packet), wake: make(chan struct{}, 1), sent: make(chan endpoint.Flags, 10*n), verdict: make(chan endpoint.Verdict, 1), began: time.Now()}
		s := splice.NewShard(d, splice.Options{Endpoint: endpoint.DefaultConfig(), Index: i})
		shards = append(shards, s)
		over := make(chan struct{})
		go func() { defer close(over); _ = s.Run(ctx) }()
		t.Cleanup(func() { <-over })
	}
	t.Cleanup(cancel)
	var list []splice.Orphan
	for i := range n {
		in := endpoint.NewTuple(netip.AddrPortFrom(netip.MustParseAddr("10.1.0.2"), uint16(10_000+i)), netip.MustParseAddrPort("10.2.0.2:80"))
		var o splice.Orphan
		o.Legs[endpoint.Client] = splice.OrphanLeg{Out: in.Reverse(), Open: true}
		o.Legs[endpoint.Server] = splice.OrphanLeg{Out: in, Open: true}
		list = append(list, o)
	}
	if got := adopt(shards, func(port uint16) int { return int(port % 2) }, list); got != n {
		t.Errorf("%d adopted, want %d", got, n)
	}
	for i, want := range []uint64{(n + 1) / 2, n / 2} {
		var got uint64
		if err := shards[i].Do(func(s *splice.Shard) { got = s.Counters().Orphans }); err != nil || got != want {
			t.Errorf("shard %d has %d orphans, want %d: %v", i, got, want, err)
		}
	}
}

// A ledger that is not there, or is none, has no orphans.
func TestNoLedgerIsNoOrphans(t *testing.T) {
	if list := readOrphans(nfq.LedgerOf(t.TempDir() + "/x.sock")); len(list) != 0 {
		t.Errorf("%d orphans of nobody", len(list))
	}
}
