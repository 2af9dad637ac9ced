package splice

import (
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// profiled is one rule for all connections, with profiles.
func profiled(client, server rules.Profile) Options {
	return Options{Rules: withRules(&rules.Rule{
		Name: "shaped", Match: rules.Match{Probability: 1}, Profiles: [2]rules.Profile{client, server},
	})}
}

// asking is a client that offers all options, up to our SYN-ACK.
func asking(server, client string) string {
	return `
		client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK,ts>
		server < S 0:0(0) <` + server + `>
		server > S. 0:0(0) ack 1 win 65535 <mss 1300,ws 8,sackOK,ts>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <` + client + `>
	`
}

func TestProfilesOfOptions(t *testing.T) {
	no, yes := rules.Some(false), rules.Some(true)
	for name, c := range map[string]struct {
		client, server rules.Profile
		script         string
	}{
		"none":                 {rules.Profile{}, rules.Profile{}, asking("mss 1400,ws,sackOK,ts", "mss 1300,ws,sackOK,ts")},
		"mss below":            {rules.Profile{MSS: rules.Some(1200)}, rules.Profile{MSS: rules.Some(1000)}, asking("mss 1000,ws,sackOK,ts", "mss 1200,ws,sackOK,ts")},
		"mss above":            {rules.Profile{MSS: rules.Some(9000)}, rules.Profile{}, asking("mss 1400,ws,sackOK,ts", "mss 1300,ws,sackOK,ts")},
		"no mss":               {rules.Profile{MSS: rules.Some(0)}, rules.Profile{MSS: rules.Some(0)}, asking("ws,sackOK,ts", "ws,sackOK,ts")},
		"window scale":         {rules.Profile{WindowScale: rules.Some(3)}, rules.Profile{WindowScale: rules.Some(14)}, asking("mss,ws 14,sackOK,ts", "mss,ws 3,sackOK,ts")},
		"no window scale":      {rules.Profile{WindowScale: rules.Some(-1)}, rules.Profile{WindowScale: rules.Some(-1)}, asking("mss,sackOK,ts", "mss,sackOK,ts")},
		"scale of the window":  {rules.Profile{Window: rules.Some(1 << 20)}, rules.Profile{Window: rules.Some(4 << 20)}, asking("mss,ws 7,sackOK,ts", "mss,ws 5,sackOK,ts")},
		"no sack":              {rules.Profile{SACK: no}, rules.Profile{}, asking("mss,ws,sackOK,ts", "mss,ws,ts")},
		"no timestamps":        {rules.Profile{Timestamps: no}, rules.Profile{SACK: no}, asking("mss,ws,ts", "mss,ws,sackOK")},
		"offered by us":        {rules.Profile{}, rules.Profile{SACK: yes, Timestamps: yes, WindowScale: rules.Some(2)}, "client > S 0:0(0) <mss 1400>\nserver < S 0:0(0) <mss 1400,ws 2,sackOK,ts>"},
		"not agreed to by one": {rules.Profile{SACK: yes, WindowScale: rules.Some(2)}, rules.Profile{}, "client > S 0:0(0) <mss 1400>\nserver < S 0:0(0) <mss 1400>\nserver > S. 0:0(0) ack 1 <mss 1300>\nserver < . 1:1(0) ack 1\nclient < S. 0:0(0) ack 1 <mss 1300>"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlaybook(t, profiled(c.client, c.server))
			p.play(c.script)
		})
	}
}

func TestProfileOfECN(t *testing.T) {
	p := newPlaybook(t, profiled(rules.Profile{}, rules.Profile{ECN: rules.Some(true)}))
	p.play("client > S 0:0(0) <mss 1400>\nserver < SEW 0:0(0)")
	p = newPlaybook(t, profiled(rules.Profile{}, rules.Profile{ECN: rules.Some(false)}))
	p.play("client > SEW 0:0(0) <mss 1400>\nserver < S 0:0(0)")
}

func TestProfileOfTheISN(t *testing.T) {
	fixed := rules.Profile{ISN: rules.Some(rules.ISN{Mode: rules.ISNFixed, Fixed: 0xffffff00})}
	random := rules.Profile{ISN: rules.Some(rules.ISN{Mode: rules.ISNRandom})}
	p := newPlaybook(t, profiled(fixed, random))
	p.play(opened)
	if got := p.legs[endpoint.Client].iss; got != 0xffffff00 {
		t.Errorf("the client leg begins at %d", got)
	}
	first := p.legs[endpoint.Server].iss
	// The same client again, 8 us later: a clock would have moved by 2.
	p = newPlaybook(t, profiled(fixed, random))
	p.dev.now += 8000
	p.play(opened)
	if d := first.To(p.legs[endpoint.Server].iss); d > -1000 && d < 1000 {
		t.Errorf("random numbers differ by %d", d)
	}
}

// Segments of a profile's MSS, a window of its size, its TTL and DSCP.
func TestProfileOnTheWire(t *testing.T) {
	p := newPlaybook(t, profiled(rules.Profile{MSS: rules.Some(500), Window: rules.Some(3000), TTL: rules.Some(uint8(3))}, rules.Profile{DSCP: rules.Some(uint8(46))}))
	p.play(`
		client > S 0:0(0) win 65535 <mss 1400>
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 win 65535 <mss 1300>
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1 <mss 500>
		client > . 1:1(0) ack 1
		server > P. 1:1001(1000) ack 1
	`)
	got := p.dev.out[endpoint.Client][0]
	if got.seg.MSS != 500 || got.seg.Window != 3000 || got.head.TTL != 3 {
		t.Errorf("sent %+v, header %+v", got.seg, got.head)
	}
	p.dev.out[endpoint.Client] = nil
	p.play(`
		client > P. 1:11(10) ack 1001
	`)
	if h := p.dev.out[endpoint.Server][0].head; h.DSCP != 46 {
		t.Errorf("header %+v", h)
	}
}

func TestProfileOfAnEndpoint(t *testing.T) {
	base := endpoint.DefaultConfig()
	c := configOf(&base, &rules.Profile{
		ACKDelay: rules.Some(time.Duration(0)), TimeWait: rules.Some(4 * time.Second), SYNRetries: rules.Some(2),
		UserTimeout: rules.Some(time.Minute), Congestion: rules.Some("newreno"), InitialWindow: rules.Some(3),
		KeepAlive: rules.Some(rules.KeepAlive{Idle: time.Second, Interval: 2 * time.Second, Count: 3}), Window: rules.Some(1000),
	})
	want := base
	want.AckDelay, want.AckEvery, want.MSL, want.SYNRetries, want.SYNACKRetries = 0, 0, 2*time.Second, 2, 2
	want.R2, want.Congestion, want.InitialWindow, want.ReceiveBuffer = time.Minute, "newreno", 3, 1000
	want.KeepAlive = endpoint.KeepAlive{Idle: time.Second, Interval: 2 * time.Second, Count: 3}
	if c != want {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	if same := configOf(&base, &rules.Profile{}); same != base {
		t.Errorf("an empty profile changes %+v", same)
	}
}

func TestProfileOfTheACKDelay(t *testing.T) {
	p := newPlaybook(t, profiled(rules.Profile{ACKDelay: rules.Some(time.Duration(0))}, rules.Profile{ACKDelay: rules.Some(200 * time.Millisecond)}))
	p.play(opened + `
		client > P. 1:101(100) ack 1
		client < . 1:1(0) ack 101
		server < P. 1:101(100) ack 1
		server > P. 1:51(50) ack 101
		client < P. 1:51(50) ack 101
		client > . 101:101(0) ack 51
		+0.19
		quiet
		+0.02
		server < . 101:101(0) ack 51
	`)
}

func TestProfilesThatACookieCannotKeep(t *testing.T) {
	for name, r := range map[string]*rules.Rule{
		"mss":               {Profiles: [2]rules.Profile{{MSS: rules.Some(1000)}, {}}},
		"isn":               {Profiles: [2]rules.Profile{{ISN: rules.Some(rules.ISN{Mode: rules.ISNFixed})}, {}}},
		"syn-ack held":      {Faults: []rules.Fault{{On: rules.SYNACK, By: time.Second}}},
		"simultaneous open": {SimultaneousOpen: true},
	} {
		r.Name, r.Match.Probability = name, 1
		p := newPlaybook(t, Options{Rules: withRules(r), Cookies: CookiesAlways})
		p.play("client > S 0:0(0) <mss 1400>\nserver < S 0:0(0)")
		if n := p.shard.Counters().CookiesSent; n != 0 {
			t.Errorf("%s: a cookie was sent", name)
		}
	}
	p := newPlaybook(t, Options{Cookies: CookiesAlways, Rules: withRules(&rules.Rule{Name: "server's", Match: rules.Match{Probability: 1},
		Profiles: [2]rules.Profile{{ACKDelay: rules.Some(time.Second)}, {MSS: rules.Some(1000)}}})})
	p.play("client > S 0:0(0) <mss 1400>\nclient < S. 0:0(0) ack 1")
}
