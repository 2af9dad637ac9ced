package main

import (
	"net/netip"
	"reflect"
	"runtime"
	"testing"

	"tcpmitm/config"
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
		Queues: 3, Bypass: false, PortForwards: true, QueueBase: 7, TUNPrefix: "x", Mark: 8, Zone: 9,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	def := interceptOf(&config.Default().Intercept)
	if def.Mode != nfq.Gateway || !def.Bypass || def.Queues != min(runtime.GOMAXPROCS(0), maxShards) {
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
