package main

import (
	"net/netip"
	"reflect"
	"runtime"
	"testing"
	"time"

	"tcpmitm/config"
	"tcpmitm/endpoint"
	"tcpmitm/nfq"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

func TestInterceptOf(t *testing.T) {
	servers, clients := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("fd00::/8")}
	got := interceptOf(&config.Intercept{
		Mode: config.Local, Ports: []rules.PortRange{{First: 80, Last: 81}}, Servers: servers, Clients: clients, ClientSide: []string{"lan0"},
		Queues: 3, WhenDown: config.Block, PortForwards: true, QueueBase: 7, TUNPrefix: "x", Mark: 8, Zone: 9,
	})
	want := nfq.Intercept{
		Mode: nfq.Local, Ports: []nfq.PortRange{{First: 80, Last: 81}}, Servers: servers, Clients: clients, ClientSide: []string{"lan0"},
		Queues: 3, Bypass: false, PortForwards: true, Loopback: true, QueueBase: 7, TUNPrefix: "x", Mark: 8, Zone: 9,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	def := interceptOf(&config.Default().Intercept)
	if def.Mode != nfq.Gateway || !def.Bypass || def.Queues != min((runtime.GOMAXPROCS(0)+1)/2, maxShards) {
		t.Errorf("the default is %+v", def)
	}
}

// The default file says what the kernel's edge would do by itself, so that
// both documents are right.
func TestDefaultsAgree(t *testing.T) {
	in := config.Default().Intercept
	if in.QueueBase != nfq.DefaultQueueBase || in.Zone != nfq.DefaultZone || in.Mark != nfq.DefaultMark || in.TUNPrefix != nfq.DefaultTUNPrefix {
		t.Errorf("defaults differ: %+v", in)
	}
}

// The largest legal configuration is legal to the kernel's edge as well.
func TestBoundsAgree(t *testing.T) {
	in := config.Default().Intercept
	in.Queues = maxShards
	if _, err := nfq.NewFirewall(interceptOf(&in)); err != nil {
		t.Error(err)
	}
}

// What the configuration says of limits and timeouts comes to the endpoints and
// the shards; the default is what the RFCs ask for.
func TestLimitsAndTimeoutsArrive(t *testing.T) {
	h := config.Handshake{SYNRetries: 1, SYNACKRetries: 2}
	c := endpointConfig(&h, &config.Timeouts{
		TimeWait: 8 * time.Second, UserTimeout: 5 * time.Second, KeepAlive: rules.KeepAlive{Idle: 6, Interval: 7, Count: 8},
	})
	if c.SYNRetries != 1 || c.SYNACKRetries != 2 || c.MSL != 4*time.Second || c.R2 != 5*time.Second ||
		c.KeepAlive != (endpoint.KeepAlive{Idle: 6, Interval: 7, Count: 8}) {
		t.Errorf("the endpoints get %+v", c)
	}
	if p := patienceOf(&config.Timeouts{Handshake: 1, Idle: 2, HalfClosed: 3}); p != (splice.Patience{Handshake: 1, Idle: 2, HalfClosed: 3}) {
		t.Errorf("the shards get %+v", p)
	}
	l := config.Limits{Connections: 1, HalfOpen: 2, PerSource: 3, HalfOpenPerSource: 4, Memory: 64 << 20}
	if b := budgetOf(&l); b.Connections != 1 || b.HalfOpen != 2 || b.PerSource != 3 || b.HalfOpenPerSource != 4 {
		t.Errorf("the budget is %d, %d, %d, %d", b.Connections, b.HalfOpen, b.PerSource, b.HalfOpenPerSource)
	}
	if n := heldOctets(&l); n < 16<<20 || n >= l.Memory {
		t.Errorf("of the least memory %d octets are for connections", n)
	}
	def := config.Default()
	c, ours := endpointConfig(&def.Handshake, &def.Timeouts), endpoint.DefaultConfig()
	if c.MSL != ours.MSL || c.R2 != ours.R2 || c.SYNACKRetries != ours.SYNACKRetries || c.KeepAlive.Idle < 2*time.Hour {
		t.Errorf("the default is %+v", c)
	}
}

func TestCookiesOf(t *testing.T) {
	for c, want := range map[config.SYNCookies]splice.CookieMode{
		config.CookiesAuto: splice.CookiesAuto, config.CookiesAlways: splice.CookiesAlways, config.CookiesNever: splice.CookiesNever,
	} {
		if got := cookiesOf(c); got != want {
			t.Errorf("cookiesOf(%v) = %v, want %v", c, got, want)
		}
	}
}

func TestListed(t *testing.T) {
	if got := listed([]rules.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8099}}, "all"); got != "80,8000-8099" {
		t.Errorf("got %q", got)
	}
	if got := listed([]string(nil), "all"); got != "all" {
		t.Errorf("got %q", got)
	}
}
