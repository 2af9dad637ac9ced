package splice

import (
	"testing"

	"tcpmitm/endpoint"
)

// TestDSCPGoesAcross: each leg bears the class that the other one's peer has
// given its packets, also when that changes (MUST-48, SHLD-21, MAY-9).
func TestDSCPGoesAcross(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.legs[endpoint.Client].dscp, p.legs[endpoint.Server].dscp = 46, 10
	wantNext := func(l endpoint.Leg, want uint8) {
		t.Helper()
		if q := p.dev.out[l]; len(q) == 0 || q[0].dscp != want {
			t.Errorf("the %v is not sent DSCP %d: %+v", l, want, q)
		}
	}
	p.play("client > S 0:0(0) <mss 1400>")
	wantNext(endpoint.Server, 46)
	p.play(`
		server < S 0:0(0)
		server > S. 0:0(0) ack 1 <mss 1400>
	`)
	wantNext(endpoint.Client, 10)
	p.play(`
		server < . 1:1(0) ack 1
		client < S. 0:0(0) ack 1
		client > . 1:1(0) ack 1
	`)
	p.legs[endpoint.Client].dscp = 8
	p.play("client > P. 1:101(100) ack 1")
	wantNext(endpoint.Server, 8)
	p.play("server < P. 1:101(100) ack 1")
}
