package splice

import (
	"fmt"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// openBlindly goes through the handshake and looks at nothing but our initial
// sequence numbers.
func (p *playbook) openBlindly() {
	p.t.Helper()
	for _, line := range []string{
		"client > S 0:0(0) win 65535 <mss 1400,ws 7,sackOK>",
		"server > S. 0:0(0) ack 1 win 65535 <mss 1300,ws 8,sackOK>",
		"client > . 1:1(0) ack 1",
	} {
		p.play(line)
		for l, sent := range p.dev.out {
			for i := range sent {
				if sent[i].seg.Flags.Has(endpoint.SYN) {
					p.legs[l].iss = sent[i].seg.Seq
				}
			}
		}
	}
}

// Whatever is done at whichever moment of whichever leg, the invariants hold
// while both peers go on as if nothing had happened, and in the end nothing is
// left: no flow, timer, buffer or place in the budget.
func TestEachFaultAtEachMomentComesToAnEnd(t *testing.T) {
	const life = `
		client > P. 1:101(100) ack 1
		server > P. 1:201(200) ack 101
		+0.3
		client > . 101:101(0) ack 201
		server > . 201:201(0) ack 101
		+0.3
		client > P. 101:151(50) ack 201
		server > P. 201:301(100) ack 151
		+0.3
		client > F. 151:151(0) ack 301
		+0.3
		server > . 301:301(0) ack 152
		server > P. 301:311(10) ack 152
		+0.3
		client > . 152:152(0) ack 311
		server > F. 311:311(0) ack 152
		+0.3
		client > . 152:152(0) ack 312
		server > . 312:312(0) ack 153
		+7200
	`
	for on := rules.Established; on <= rules.HalfClosed; on++ {
		for do := rules.ResetLeg; do <= rules.AcceptThenDie; do++ {
			if do == rules.Refuse || do == rules.Ignore {
				continue
			}
			for l := rules.Client; l <= rules.Server; l++ {
				for _, after := range []time.Duration{0, 400 * time.Millisecond} {
					f := rules.Fault{Leg: l, On: on, Do: do, Size: 10, N: 5, Which: rules.Which{After: after}}
					if do == rules.ResetLeg {
						f.Legs[l] = true
					}
					t.Run(fmt.Sprintf("%v %v %v after %v", l, on, do, after), func(t *testing.T) {
						p := newPlaybook(t, Options{Rules: faulty(f)})
						p.openBlindly()
						p.play(life)
						// Later there may be nobody left to do it to, and a FIN is
						// not sent twice.
						if n := len(p.watch.faults); n > 1 || n < 1 && after == 0 && do != rules.SendFIN {
							t.Errorf("%d faults have fired, want 1", n)
						}
						if n := len(p.watch.closed); n != 1 {
							t.Errorf("%d connections were reported, want 1", n)
						}
						p.wantEmpty()
					})
				}
			}
		}
	}
}
