package splice

import (
	"net/netip"
	"testing"
	"time"

	"tcpmitm/endpoint"
)

// TestAFloodIsAnsweredAtARate: beyond the rate only SYNs that come again are
// answered, and these always.
func TestAFloodIsAnsweredAtARate(t *testing.T) {
	var j cookieJar
	j.init([32]byte{1})
	var r synRepeats
	now := endpoint.Time(time.Hour)
	syn := func(i int) *endpoint.Tuple {
		t := endpoint.NewTuple(netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), 1), addrPort("10.2.0.2:80"))
		return &t
	}
	const perSecond, seconds = 100_000, 3
	answered := 0
	for i := range perSecond * seconds {
		now = now.Add(time.Second / perSecond)
		if r.answers(now, &j, syn(i), endpoint.Seq(i)) {
			answered++
		}
	}
	// The filter mistakes a few.
	if least, most := seconds*cookieRate, seconds*cookieRate+cookieBurst+perSecond*seconds/50; answered < least*9/10 || answered > most {
		t.Errorf("%d of %d SYNs were answered, want about %d", answered, perSecond*seconds, least)
	}
	// An honest client in the same flood: its second SYN gets through.
	for i := range 200 {
		first := r.answers(now, &j, syn(-i-1), 7)
		for range 50 {
			r.answers(now, &j, syn(1<<24+i), endpoint.Seq(i))
		}
		if !first && !r.answers(now, &j, syn(-i-1), 7) {
			t.Fatal("a SYN that came again was not answered")
		}
	}
	// And after 3 s still.
	honest := syn(1 << 30)
	for r.answers(now, &j, honest, 1) {
		honest.SrcPort++
	}
	for range 3 * perSecond / 10 {
		now = now.Add(10 * time.Second / perSecond)
		r.answers(now, &j, syn(int(now)), endpoint.Seq(now))
	}
	if !r.answers(now, &j, honest, 1) {
		t.Error("a SYN that came again after 3 s was not answered")
	}
	// Another ISN is another SYN.
	for range 10 {
		honest.DstPort++
		if r.answers(now, &j, honest, 1) && r.answers(now, &j, honest, 2) && r.answers(now, &j, honest, 3) {
			continue
		}
		r.forget(now.Add(2 * repeatMemory))
		if r.young != nil || r.old != nil {
			t.Error("the memory is kept when the flood is over")
		}
		return
	}
	t.Error("every SYN is taken for one that came before")
}

// TestHonestClientsAreNotHeldUp: ten times the rate, and all come back.
func TestHonestClientsAreNotHeldUp(t *testing.T) {
	var j cookieJar
	j.init([32]byte{1})
	var r synRepeats
	now := endpoint.Time(time.Hour)
	for i := range 10 * cookieRate {
		now = now.Add(time.Second / (10 * cookieRate))
		s := endpoint.NewTuple(netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), uint16(i)), addrPort("10.2.0.2:80"))
		if !r.answers(now, &j, &s, endpoint.Seq(i)) {
			t.Fatalf("client %d is held up", i)
		}
		if i >= 100 { // there are so many on their way
			r.cameBack()
		}
	}
}

// TestASYNBeyondTheRate: silence, counted by its reason, and nothing kept; the
// same SYN again is answered.
func TestASYNBeyondTheRate(t *testing.T) {
	p := newPlaybook(t, Options{Cookies: CookiesAlways})
	p.shard.repeats.filled = p.dev.now // the bucket is empty
	p.play(`
		client > S 0:0(0) <mss 1400,ws 5,sackOK,ts>
		quiet
		+0.00005
		client > S 0:0(0) <mss 1400,ws 5,sackOK,ts>
		client < S. 0:0(0) ack 1 <mss 1460,ws,sackOK,ts>
		client > . 1:1(0) ack 1
		server < S 0:0(0) <mss 1400,ws,sackOK,ts>
	`)
	c := p.shard.Counters()
	if c.Reasons[endpoint.ReasonSYNRate] != 1 || c.CookiesSent != 1 || c.CookiesAccepted != 1 || c.Dropped != 1 {
		t.Errorf("%d over the rate, %d dropped, %d cookies sent and %d accepted; want 1 of each", c.Reasons[endpoint.ReasonSYNRate], c.Dropped, c.CookiesSent, c.CookiesAccepted)
	}
}
