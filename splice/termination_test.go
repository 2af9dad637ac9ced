package splice

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// wantCodes demands one ended connection with a code for each leg.
func (p *playbook) wantCodes(client, server string) LegVerdict {
	p.t.Helper()
	if len(p.watch.closed) != 1 {
		p.t.Fatalf("%d connections were reported, want 1", len(p.watch.closed))
	}
	v := &p.watch.closed[0].Legs
	if got := v[0].Code.String() + " " + v[1].Code.String(); got != client+" "+server {
		p.t.Errorf("termination codes %s, want %s %s", got, client, server)
	}
	return v[0]
}

// Each way of ending, and how far the legs had come.
func TestTerminationCodes(t *testing.T) {
	const asked = "client > S 0:0(0) <mss 1400>\nserver < S 0:0(0)\n"
	const met = asked + "server > S. 0:0(0) ack 1\nserver < . 1:1(0) ack 1\n"
	short := endpoint.DefaultConfig()
	short.R2 = 100e9
	for _, v := range []struct {
		why, script    string
		client, server string
		opt            Options
		shutdown       bool
	}{
		{why: "the server refuses", script: asked + "server > R. 0:0(0) ack 1\nclient < R. 0:0(0) ack 1", client: "SC", server: "SC"},
		{why: "the server is silent", script: asked + "+200", client: "sC", server: "sC"},
		{why: "the server is unreachable", script: asked + "server > icmp 3/1", client: "UC", server: "UC"},
		{why: "the client takes its SYN back", script: asked + "client > R 1:1(0)", client: "CC", server: "CC"},
		{why: "the client vanishes in the handshake", script: met + "+130", client: "cH", server: "cE"},
		{why: "the client resets in the handshake", script: met + "client > R 1:1(0)", client: "CH", server: "CE"},
		{why: "the client resets without data", script: handshake + "client > R 1:1(0)", client: "CE", server: "CE"},
		{why: "the server resets after data", script: handshake + "server > P. 1:101(100) ack 1\nserver > R 101:101(0)", client: "SE", server: "SD"},
		{why: "the client falls silent", script: handshake + "server > P. 1:101(100) ack 1\n+300", opt: Options{Endpoint: short}, client: "cE", server: "cD"},
		{why: "the server resets a half-closed connection", script: handshake + "client > F. 1:1(0) ack 1\nserver > R. 1:1(0) ack 1", client: "SF", server: "SF"},
		{why: "tcpmitm stops", script: handshake, shutdown: true, client: "KE", server: "KE"},
		{why: "tcpmitm stops with a SYN held", script: asked, shutdown: true, client: "KC", server: "KC"},
		{why: "a rule resets", script: "client > S 0:0(0) <mss 1400>\nclient < R. 0:0(0) ack 1",
			opt: Options{Rules: withRules(&rules.Rule{Name: "no", Match: rules.Match{Probability: 1}, Action: rules.Reset})}, client: "RC", server: "RN"},
	} {
		t.Run(v.why, func(t *testing.T) {
			p := newPlaybook(t, v.opt)
			p.play(v.script)
			if v.shutdown {
				p.shard.Shutdown(p.dev.now)
			}
			p.wantCodes(v.client, v.server)
		})
	}
}

// Every code that can be made has both its letters in the table.
func TestEveryLetterIsExplained(t *testing.T) {
	has := func(list []Letter, b byte) bool {
		for _, l := range list {
			if l.Letter == b {
				return true
			}
		}
		return false
	}
	for _, who := range []string{"client", "server", "tcpmitm"} {
		for how := ByFIN + 1; how <= ByOperator; how++ {
			if l := letterOf(who, how); !has(Enders, l) {
				t.Errorf("letter %q of an end by %s, way %d, is not explained", l, who, how)
			}
		}
	}
	for s := endpoint.Closed; s <= endpoint.TimeWait; s++ {
		if l := (&leg{last: s}).phase(); !has(Phases, l) {
			t.Errorf("letter %q of state %v is not explained", l, s)
		}
	}
}

// The document says what the code says.
func TestTerminationCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/termination-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, list := range [][]Letter{Enders, Phases} {
		for _, l := range list {
			want = append(want, fmt.Sprintf("| `%c` | %s |", l.Letter, l.Meaning))
		}
	}
	if got := strings.Join(rows, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("docs/termination-codes.md has the rows\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// A segment that a fault has lost was sent: the next copy is known as one.
func TestASegmentAfterItsLossIsSentAgain(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(rules.Fault{Leg: rules.Server, On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 1}})})
	p.play(handshake + `
		client > P. 1:101(100) ack 1
		quiet
		+1.1
		client < . 1:1(0) ack 101
	`)
	if n := len(p.dev.out[endpoint.Server]); n == 0 || p.watch.again != n {
		t.Errorf("%d segments are said to have been sent before, want all %d that came to the server", p.watch.again, n)
	}
}

// A fault that refuses a connection is counted in its verdict.
func TestARefusingFaultIsInTheVerdict(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(
		rules.Fault{Leg: rules.Client, On: rules.FIN, Do: rules.Delay, By: 1},
		rules.Fault{Leg: rules.Client, In: true, On: rules.SYN, Do: rules.Refuse},
	)})
	p.play("client > S 0:0(0) <mss 1400>\nclient < R. 0:0(0) ack 1")
	p.wantCodes("RC", "RN")
	if got := p.watch.closed[0].Fired; len(got) != 1 || got[0].Index != 1 || got[0].Count != 1 {
		t.Errorf("the verdict says of faults %+v", got)
	}
}

// Observers read a verdict when they like, on goroutines of their own, while
// faults still act on what lingers (found by the race detector in a soak).
func TestTheVerdictStaysAsItWas(t *testing.T) {
	p := newPlaybook(t, Options{Rules: faulty(
		rules.Fault{Leg: rules.Server, In: true, On: rules.FIN, Do: rules.Duplicate, Copies: 1})})
	p.play(handshake + goodbye)
	before := slices.Clone(p.watch.closed[0].Fired)
	if len(before) != 1 {
		t.Fatalf("the verdict says of faults %+v", before)
	}
	p.play(`
		+1
		server > F. 1:1(0) ack 2
		server < . 2:2(0) ack 2
	`)
	p.wantFaults("server in fin duplicate copies 1", "server in fin duplicate copies 1")
	if got := p.watch.closed[0].Fired; !slices.Equal(got, before) {
		t.Errorf("the verdict says of faults %+v, and said %+v", got, before)
	}
}
