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

// life is a connection in which both peers go on whatever they hear.
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

// Whatever is done at whichever moment of whichever leg, the invariants hold
// while both peers go on as if nothing had happened, and in the end nothing is
// left: no flow, timer, buffer or place in the budget.
func TestEachFaultAtEachMomentComesToAnEnd(t *testing.T) {
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

// The same with octets that are late, slow or held back in pipelines, and
// segments that are under way while it happens.
func TestEachFaultAmongPoliciesComesToAnEnd(t *testing.T) {
	late := rules.Policy{Do: rules.Latency, By: 500 * time.Millisecond}
	slow := rules.Policy{Do: rules.Throttle, Rate: 50, Burst: 1}
	never := rules.Policy{Do: rules.HoldUntil, By: time.Hour}
	ends := rules.Policy{Do: rules.Limit, Bytes: 120, Then: rules.EndReset}
	wire := []rules.Fault{
		{On: rules.Any, Do: rules.Delay, By: 350 * time.Millisecond},
		{On: rules.Data, Do: rules.Hold, Until: rules.HalfClosed},
	}
	for _, policy := range []rules.Policy{late, slow, never, ends} {
		for to := rules.Client; to <= rules.Server; to++ {
			for on := rules.Established; on <= rules.HalfClosed; on++ {
				for _, do := range []rules.Do{rules.ResetLeg, rules.SendFIN, rules.Vanish, rules.Stall} {
					for l := rules.Client; l <= rules.Server; l++ {
						for w := range 1 + 2*len(wire) {
							f := rules.Fault{Leg: l, On: on, Do: do, By: time.Second, Which: rules.Which{After: 400 * time.Millisecond}}
							if do == rules.ResetLeg {
								f.Legs[l] = true
							}
							list := []rules.Fault{f}
							if w > 0 {
								seg := wire[(w-1)/2]
								seg.Leg, seg.In = l, w%2 == 0
								list = append(list, seg)
							}
							policy.To = to
							t.Run(fmt.Sprintf("%v to %v, %v", policy.Do, to, list), func(t *testing.T) {
								r := &rules.Rule{Name: "both", Match: rules.Match{Probability: 1}, Faults: list, Streams: []rules.Policy{policy}}
								p := newPlaybook(t, Options{Rules: withRules(r)})
								p.openBlindly()
								p.play(life)
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
	}
}
