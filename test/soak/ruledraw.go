package soak

import (
	"fmt"
	"strings"
	"time"
)

// How many rules of each class a set has.
const (
	plainRules  = 6
	mendedRules = 24
	endedRules  = 12
	silentRules = 6
)

// corpseTime is how long before the end there must be no rule any more that
// cuts one leg off: tcpmitm keeps such a connection for 20 minutes after the
// last segment of either peer, Linux sends an unanswered one again for 15
// minutes and more (tcp_retries2), and a phase lasts a minute and a half.
const corpseTime = 40 * time.Minute

// base is what all rules say of both endpoints: a peer that is gone is found
// within waits.dead, and not after the hours of the defaults.
func base(p *Plan) string {
	w := p.waits()
	k := w.gatewayKeepAlive
	return fmt.Sprintf(`keep_alive = { idle = "%v", interval = "%v", count = %d }, user_timeout = "%v", time_wait = "%v"`,
		k.Idle, k.Interval, k.Count, w.userTimeout, w.timeWait)
}

// drawing makes the rules of one phase.
type drawing struct {
	draws
	plan    *Plan
	phase   int
	corpses bool // there may be faults that leave a corpse
	text    strings.Builder
	clients map[string]bool // delays that the rule has: only one of each is allowed
}

// drawRules makes the [[rule]] tables of a phase. Without faults there are
// those of the plain class alone.
func drawRules(p *Plan, phase int, faults, corpses bool) string {
	r := &drawing{draws: p.stream(fmt.Sprint("rules ", phase)), plan: p, phase: phase, corpses: corpses}
	// SYNs that nobody means are to be forgotten soon.
	r.rule("bursts", fmt.Sprintf("ports = [%d]", burstPort), "retries = 2", "")
	if faults {
		for i := range mendedRules {
			r.mended(i)
		}
		for i := range endedRules {
			r.ended(i)
		}
		for i := range silentRules {
			r.silent(i)
		}
	}
	for i := range plainRules {
		r.plain(i)
	}
	r.rule("everything else", "", "", "")
	return r.text.String()
}

// rule writes one rule; profile is what its endpoints say beside base.
func (r *drawing) rule(name, match, profile, rest string) {
	b := base(r.plan)
	if profile != "" {
		b += ", " + profile
	}
	fmt.Fprintf(&r.text, "[[rule]]\nname = %q\nmatch = { %s }\nseed = %d\nclient = { %s }\nserver = { %s }\n%s\n",
		fmt.Sprintf("phase %d, %s", r.phase, name), match, r.Uint32(), b, b, rest)
}

// match draws which connections of a class a rule takes.
func (r *drawing) match(c class, i int) string {
	parts := []string{fmt.Sprintf("ports = [%d]", c.port(i))}
	if c == mended && r.chance(0.1) {
		parts[0] = fmt.Sprintf("ports = [%d, %d]", c.port(i), webMendedPort)
	}
	switch r.IntN(5) {
	case 0:
		parts = append(parts, `servers = ["10.2.0.0/16"]`)
	case 1:
		parts = append(parts, `servers = ["fd02::/64"]`)
	}
	switch r.IntN(3) {
	case 0:
		parts = append(parts, fmt.Sprintf("probability = %.2f", 0.2+0.7*r.Float64()))
	case 1:
		parts = append(parts, fmt.Sprintf("every = %d", r.from(1, 3)))
	}
	return strings.Join(parts, ", ")
}

func (r *drawing) plain(i int) {
	if i == 0 {
		fmt.Fprintf(&r.text, "[[rule]]\nname = \"phase %d, past\"\nmatch = { ports = [%d], probability = 0.5 }\naction = \"pass\"\n\n", r.phase, plain.port(0))
		return
	}
	r.rule(fmt.Sprint("plain ", i), r.match(plain, i), r.profile(), "")
}

// profile draws how an endpoint behaves.
func (r *drawing) profile() string {
	all := []string{
		fmt.Sprintf("mss = %d", pick(r.draws, 536, 900, 1300, 1400)),
		fmt.Sprintf(`window = "%dKiB"`, pick(r.draws, 16, 64, 256)),
		"sack = false", "timestamps = false", "ecn = true",
		fmt.Sprintf(`isn = %q`, pick(r.draws, "random", "clock")),
		fmt.Sprintf(`ack_delay = "%dms"`, pick(r.draws, 0, 10, 200)),
		fmt.Sprintf(`congestion = %q`, pick(r.draws, "cubic", "newreno")),
		fmt.Sprintf(`initial_window = %d`, r.from(1, 20)),
		"window_scale = 3", "dscp = 10", "ttl = 61",
	}
	var some []string
	for _, i := range r.Perm(len(all))[:r.from(1, 4)] {
		some = append(some, all[i])
	}
	return strings.Join(some, ", ")
}

// mended draws a rule that TCP mends, or that keeps the octets.
func (r *drawing) mended(i int) {
	var rest strings.Builder
	profile := ""
	switch kind := r.IntN(10); {
	case kind < 5:
		r.list(&rest, "faults", 1, 4, r.onSegments)
	case kind < 6:
		r.list(&rest, "faults", 1, 2, r.mildMoment)
	case kind < 8:
		r.list(&rest, "stream", 1, 3, r.keepingPolicy)
		if r.chance(0.5) {
			r.list(&rest, "faults", 1, 2, r.onSegments)
		}
	case kind < 9:
		rest.WriteString(fmt.Sprintf("link = { name = %q, leg = %q }\n", pick(r.draws, "3g", "dsl", "satellite", "lossy-wifi"), r.leg()))
	default:
		rest.WriteString("simultaneous-close = true\n")
	}
	if r.chance(0.4) {
		profile = r.profile()
	}
	r.rule(fmt.Sprint("mended ", i), r.match(mended, i), profile, rest.String())
}

// list writes a list of drawn elements.
func (r *drawing) list(to *strings.Builder, key string, least, most int, element func() string) {
	r.clients = map[string]bool{}
	fmt.Fprintf(to, "%s = [\n", key)
	for range r.from(least, most) {
		if e := element(); e != "" {
			fmt.Fprintf(to, "  { %s },\n", e)
		}
	}
	fmt.Fprintln(to, "]")
}

func (r *drawing) leg() string { return pick(r.draws, "client", "server") }

func (r *drawing) ms(least, most int) string { return fmt.Sprintf(`"%dms"`, r.from(least, most)) }

// onSegments draws a fault on segments that retransmission mends.
func (r *drawing) onSegments() string {
	on := pick(r.draws, "data", "data", "data", "ack", "fin", "syn", "syn-ack", "handshake-ack", "last-ack", "window-update", "any")
	do := pick(r.draws, "delay", "delay", "drop", "drop", "duplicate", "reorder", "corrupt", "split", "rewrite")
	if do == "split" || do == "rewrite" {
		on = "data"
	}
	which := fmt.Sprintf("leg = %q, on = %q", r.leg(), on)
	if on != "syn" && on != "syn-ack" && on != "handshake-ack" {
		which += fmt.Sprintf(", dir = %q", pick(r.draws, "out", "in"))
	}
	f := which + fmt.Sprintf(", do = %q", do)
	switch do {
	case "delay":
		if r.clients[which] {
			return ""
		}
		r.clients[which] = true
		by := r.from(1, 80)
		return f + fmt.Sprintf(`, by = "%dms", jitter = "%dms"`, by, r.from(1, by))
	case "drop", "corrupt":
		if r.chance(0.4) {
			return f + fmt.Sprintf(", first = %d", r.from(1, 2))
		}
		return f + fmt.Sprintf(", probability = %.3f", 0.002+0.03*r.Float64())
	case "duplicate":
		return f + fmt.Sprintf(", copies = %d, every = %d", r.from(1, 3), r.from(1, 20))
	case "reorder":
		return f + fmt.Sprintf(", behind = %d, every = %d", r.from(1, 5), r.from(3, 40))
	case "split":
		return f + fmt.Sprintf(", size = %d, first = %d", r.from(100, 1000), r.from(1, 50))
	}
	return f + fmt.Sprintf(", window = %d, every = %d", r.from(5000, 60000), r.from(5, 20))
}

// mildMoment draws a fault at a moment that passes.
func (r *drawing) mildMoment() string {
	f := fmt.Sprintf("leg = %q, on = %q, ", r.leg(), pick(r.draws, "established", "first-byte"))
	if r.chance(0.5) {
		f += "after = " + r.ms(1, 300) + ", "
	}
	switch r.IntN(5) {
	case 0:
		return f + `do = "stall", by = ` + r.ms(100, 2000)
	case 1:
		return f + fmt.Sprintf(`do = "dribble", size = %d`, r.from(3000, 20000))
	case 2:
		return f + `do = "withhold-acks", by = ` + r.ms(100, 1500)
	case 3:
		return f + fmt.Sprintf(`do = "stretch-acks", n = %d`, r.from(2, 8))
	}
	return f + fmt.Sprintf(`do = "duplicate-acks", n = %d`, r.from(1, 5))
}

// keepingPolicy draws one that changes when octets come, and not which.
func (r *drawing) keepingPolicy() string {
	p := fmt.Sprintf("to = %q, ", r.leg())
	switch r.IntN(4) {
	case 0:
		by := r.from(1, 100)
		return p + fmt.Sprintf(`do = "latency", by = "%dms", jitter = "%dms"`, by, r.from(1, by))
	case 1:
		return p + fmt.Sprintf(`do = "throttle", rate = "%dkB/s"`, r.from(300, 8000))
	case 2:
		return p + fmt.Sprintf(`do = "slice", size = %d, gap = "%dms"`, r.from(1000, 8000), r.from(0, 5))
	}
	return p + `do = "hold-until", by = ` + r.ms(10, 1000)
}

// ended draws a rule that may end a connection, so that both peers hear of it.
func (r *drawing) ended(i int) {
	var rest strings.Builder
	name, match := fmt.Sprint("ended ", i), r.match(ended, i)
	switch r.IntN(8) {
	case 0:
		fmt.Fprintf(&r.text, "[[rule]]\nname = \"phase %d, %s\"\nmatch = { %s }\nseed = %d\naction = \"reset\"\n\n", r.phase, name, match, r.Uint32())
		return
	case 1, 2:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = %q, do = \"reset\", after = %s } ]\n", r.leg(),
			pick(r.draws, "established", "first-byte", "closing", "half-closed"), r.ms(0, 1000))
	case 3:
		fmt.Fprintf(&rest, "faults = [ { leg = \"client\", do = \"refuse\", probability = 0.7 } ]\n")
	case 4:
		fmt.Fprintf(&rest, "faults = [ { leg = \"client\", do = \"accept-then-die\", after = %s } ]\n", r.ms(0, 1000))
	case 5:
		fmt.Fprintf(&rest, "faults = [ { leg = \"client\", on = \"syn\", do = \"icmp\", code = %q, probability = 0.7 } ]\n", pick(r.draws, "host", "port", "network", "prohibited"))
	case 6:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = \"established\", do = \"icmp\", code = %q } ]\n", r.leg(), pick(r.draws, "host", "port", "network", "prohibited"))
	default:
		fmt.Fprintf(&rest, "stream = [ { to = %q, do = \"limit\", bytes = \"%dKiB\", then = \"reset\" } ]\n", r.leg(), r.from(0, 100))
	}
	r.rule(name, match, "", rest.String())
}

// silent draws a rule that leaves somebody waiting.
func (r *drawing) silent(i int) {
	var rest strings.Builder
	name, match := fmt.Sprint("silent ", i), r.match(silent, i)
	kind := r.IntN(4)
	if r.corpses {
		kind = r.IntN(8)
	}
	switch kind {
	case 0:
		fmt.Fprintf(&r.text, "[[rule]]\nname = \"phase %d, %s\"\nmatch = { %s }\nseed = %d\naction = \"drop\"\n\n", r.phase, name, match, r.Uint32())
		return
	case 1:
		fmt.Fprintf(&rest, "faults = [ { leg = \"client\", do = \"ignore\", probability = 0.5 } ]\n")
	case 2:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = \"established\", do = \"withhold-acks\" } ]\n", r.leg())
	case 3:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = \"first-byte\", do = \"stall\", by = %s } ]\n", r.leg(), r.ms(5000, 60000))
	case 4:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = %q, do = \"vanish\" } ]\n", r.leg(), pick(r.draws, "established", "first-byte", "closing"))
	case 5:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = %q, do = \"fin\" } ]\n", r.leg(), pick(r.draws, "established", "first-byte"))
	case 6:
		fmt.Fprintf(&rest, "faults = [ { leg = %q, on = %q, do = \"reset\", to = %q } ]\n", r.leg(), pick(r.draws, "established", "first-byte"), r.leg())
	default:
		fmt.Fprintf(&rest, "stream = [ { to = %q, do = \"limit\", bytes = \"%dKiB\", then = %q } ]\n", r.leg(), r.from(0, 100), pick(r.draws, "fin", "vanish"))
	}
	r.rule(name, match, "", rest.String())
}
