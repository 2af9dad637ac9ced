package splice

import (
	"testing"
	"unsafe"

	"tcpmitm/endpoint"
)

func (p *playbook) wantWaiting(n int) {
	p.t.Helper()
	if c := &p.shard.waiting; c.count != n || len(c.of) != 2*n || len(p.shard.flows) != 0 {
		p.t.Errorf("%d in TIME-WAIT (%d in the table), want %d; %d flows, want none", c.count, len(c.of), n, len(p.shard.flows)/2)
	}
}

// Over but for TIME-WAIT, a connection is a record that answers as the
// endpoint would have.
func TestTimeWaitIsARecord(t *testing.T) {
	p := newPlaybook(t, Options{})
	p.play(handshake + goodbye)
	p.wantWaiting(1)
	p.play(`
		# our last ACK was lost
		+30
		server > F. 1:1(0) ack 2
		server < . 2:2(0) ack 2
		# a RST does not cut it short (RFC 1337)
		server > R. 2:2(0) ack 2
		# nor does the other leg say anything any more
		client > F. 1:1(0) ack 2
		client > . 2:2(0) ack 3
		quiet
		# the 2 MSL began anew with the FIN
		+45
		server > F. 1:1(0) ack 2
		server < . 2:2(0) ack 2
		+59
		quiet
	`)
	p.wantWaiting(1)
	p.play("+2")
	p.wantWaiting(0)
	p.wantEmpty()
}

func TestAnOldSYNTakesNoRecordOver(t *testing.T) {
	p := newPlaybook(t, Options{})
	// The server closes first: it is the client leg that waits.
	p.play(handshake + `
		server > F. 1:1(0) ack 1
		server < . 1:1(0) ack 2
		client < F. 1:1(0) ack 1
		client > F. 1:1(0) ack 2
		client < . 2:2(0) ack 2
		server < F. 1:1(0) ack 2
		server > . 2:2(0) ack 2
	`)
	p.wantWaiting(1)
	// Its numbers lie before the old connection's end.
	p.play(`
		client > S 0:0(0)
		client < . 2:2(0) ack 2
		quiet
	`)
	p.wantWaiting(1)
	p.legs[0].isn += 70000
	p.legs[1].isn += 70000
	p.play(handshake)
	if c := p.shard.Counters(); c.Opened != 2 || c.Lingering != 0 || c.Flows != 1 {
		t.Errorf("counters are %+v", c)
	}
}

func TestRecordsAreBounded(t *testing.T) {
	p := newPlaybook(t, Options{})
	for i := range maxWaiting + 3 {
		w := &waiting{id: uint64(i)}
		w.legs[0].out.SrcPort, w.legs[0].out.Src[0] = uint16(i), byte(i>>16)
		w.legs[1].out = w.legs[0].out.Reverse()
		w.legs[1].on = true
		p.shard.keepWaiting(w)
	}
	p.wantWaiting(maxWaiting)
	if p.shard.waiting.first.id != 3 {
		t.Errorf("the oldest is %d, want 3", p.shard.waiting.first.id)
	}
	p.shard.Shutdown(p.dev.now)
	p.wantWaiting(0)
}

func TestARecordIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(waiting{}); n > 560 {
		t.Errorf("a connection in TIME-WAIT takes %d octets; its endpoints and flow took %d", n,
			2*unsafe.Sizeof(endpoint.Endpoint{})+unsafe.Sizeof(flow{}))
	}
}
