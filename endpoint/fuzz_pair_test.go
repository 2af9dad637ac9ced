package endpoint

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzPair puts somebody between two endpoints who loses, repeats, reorders
// and edits their segments, octet by octet if he likes. Whatever he does,
// nobody panics, and what must hold of each endpoint holds. As long as he
// edits nothing, what arrives is what was sent; and when he stops, all of it
// arrives and both are done.
func FuzzPair(f *testing.F) {
	f.Add([]byte{0})
	f.Add(bytes.Repeat([]byte{0, 9, 9, 1, 40, 0, 5, 0, 0, 8, 1, 0}, 20))
	f.Add(bytes.Repeat([]byte{0, 200, 0, 1, 0, 0, 2, 0, 0, 3, 1, 0, 4, 0, 0, 9, 7, 9}, 20))
	for kind := range byte(12) {
		f.Add(append([]byte{kind}, bytes.Repeat([]byte{0, 100, 0, kind, 1, 3, 5, 1, 0, kind, 13, 0x10}, 30)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) { interfere(t, b) })
}

// maxFuzzedFlights bounds the segments under way.
const maxFuzzedFlights = 200

// meddler is a pair with somebody in the middle.
type meddler struct {
	*pair
	flights []flying
	edited  bool
	closed  [2]bool
}

// interfere interprets b as a configuration and a list of instructions of
// three octets.
func interfere(t *testing.T, b []byte) {
	if len(b) == 0 {
		return
	}
	b = b[:min(len(b), 1+3*400)]
	cfg := DefaultConfig()
	cfg.Pool = NewPool(0)
	cfg.MSL = time.Second
	cfg.ReceiveBuffer, cfg.SendBuffer = 6000, 8000
	open := testOpen(Seq(uint32(b[0])<<7) - 15000)
	open.Timestamps, open.SACK, open.ECN = b[0]&1 != 0, b[0]&2 != 0, b[0]&8 != 0
	if b[0]&4 != 0 {
		open.WindowScale = -1
	}
	if b[0]&16 != 0 {
		cfg.Congestion = "newreno"
	}
	m := &meddler{pair: &pair{t: t, now: Time(time.Second), rng: rand.New(rand.NewPCG(1, uint64(b[0])))}}
	m.ends = [2]*Endpoint{NewActive(m.now, &cfg, open), NewPassive(&cfg, testOpen(7))}
	m.collect()
	for b = b[1:]; len(b) >= 3; b = b[3:] {
		m.step(b[0], b[1], b[2])
		m.collect()
	}
	if !m.edited {
		m.finish()
	}
	for _, e := range m.ends {
		e.Release()
	}
	if n := cfg.Pool.InUse(); n != 0 {
		t.Fatalf("%d octets of buffers leaked", n)
	}
}

// collect takes what both ends send, and checks them.
func (m *meddler) collect() {
	m.flush()
	for len(m.queue) > 0 {
		m.flights = append(m.flights, m.queue[0])
		m.queue = m.queue[1:]
	}
	if over := len(m.flights) - maxFuzzedFlights; over > 0 {
		m.flights = m.flights[over:]
	}
	for i := range m.ends {
		if got, sent := m.got[i].Bytes(), m.sent[1-i].Bytes(); !m.edited && !bytes.HasPrefix(sent, got) {
			m.t.Fatalf("end %d has read %d octets that are not those sent", i, len(got))
		}
	}
}

// step carries one instruction out; x chooses a segment or an amount.
func (m *meddler) step(what, x, y byte) {
	i := int(y) & 1
	e := m.ends[i]
	at := -1
	if len(m.flights) > 0 {
		at = int(x) % len(m.flights)
	}
	switch what % 12 {
	case 0: // the user writes
		if n := min(int(x)*10, e.WriteSpace()); n > 0 && !m.closed[i] && e.State() != Listen {
			data := make([]byte, n)
			for j := range data {
				data[j] = byte(m.rng.Uint32())
			}
			m.sent[i].Write(data)
			e.Write(m.now, NewChunk(data, nil))
		}
	case 1, 2, 3: // the next one arrives
		if at >= 0 {
			m.arrives(0)
		}
	case 4: // any one arrives
		if at >= 0 {
			m.arrives(at)
		}
	case 5: // is lost
		if at >= 0 {
			m.flights = append(m.flights[:at], m.flights[at+1:]...)
		}
	case 6: // is there twice
		if at >= 0 {
			m.flights = append(m.flights, m.flights[at])
		}
	case 7, 8: // time passes: a while, or until something is due
		next := m.now.Add(time.Duration(x) * time.Duration(y) * time.Millisecond)
		if what%12 == 8 {
			if next = min(m.ends[0].NextTimeout(), m.ends[1].NextTimeout()); next == Never {
				return
			}
		}
		m.now = max(m.now, next)
		for _, e := range m.ends {
			e.HandleTimeout(m.now)
		}
	case 9: // an octet of it is another
		if at >= 0 {
			raw := append([]byte(nil), m.flights[at].raw...)
			raw[int(y)%len(raw)] ^= 1 << (x & 7)
			m.flights[at].raw = raw
			m.edited = true
		}
	case 10:
		m.read(i, int(x)*20)
	case 11:
		if x > 200 && e.State() != Listen {
			m.closed[i] = true
			e.CloseWrite(m.now)
		}
	}
}

// arrives delivers a segment; one that was edited may not be one any more.
func (m *meddler) arrives(at int) {
	f := m.flights[at]
	m.flights = append(m.flights[:at], m.flights[at+1:]...)
	var s Segment
	if _, _, why := ParseSegment(f.raw, &s); why == ReasonNone {
		m.ends[f.to].HandleSegment(m.now, &s)
	}
}

// finish lets everything through until both ends are done.
func (m *meddler) finish() {
	if m.ends[0].State() == Closed || m.ends[1].State() == Closed {
		return // the SYN timed out, or R2 passed
	}
	for n := 0; m.ends[0].State() != Closed || m.ends[1].State() != Closed; n++ {
		if n > 20000 {
			m.t.Fatalf("stuck:\n%+v\n%+v", m.ends[0].Info(), m.ends[1].Info())
		}
		if len(m.flights) > 0 {
			m.arrives(0)
		} else {
			m.step(8, 0, 0)
		}
		for i, e := range m.ends {
			m.read(i, 1<<30)
			if !m.closed[i] && e.State() != Listen {
				m.closed[i] = true
				e.CloseWrite(m.now)
			}
		}
		m.collect()
		for _, e := range m.ends {
			if ev := e.TakeEvents(); ev&(EventTimeout|EventReset|EventRefused) != 0 {
				return // it had waited for too long before we let things through
			}
		}
	}
	for i := range m.ends {
		m.read(i, 1<<30)
		if !bytes.Equal(m.got[i].Bytes(), m.sent[1-i].Bytes()) {
			m.t.Fatalf("end %d got %d of %d octets", i, m.got[i].Len(), m.sent[1-i].Len())
		}
	}
}

// TestInterference runs the same with programs drawn at random, half of which
// edit nothing.
func TestInterference(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range 1500 {
		b := make([]byte, 1+3*300)
		for i := range b {
			b[i] = byte(rng.Uint32())
			if i%3 == 1 && n%2 == 0 && b[i]%12 == 9 {
				b[i] = 1
			}
		}
		interfere(t, b)
		if t.Failed() {
			t.Fatalf("program %x", b)
		}
	}
}
