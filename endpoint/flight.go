package endpoint

// maxTransmissions bounds the records of one endpoint: beyond it nothing new
// is sent and nothing is split until some are acknowledged.
const maxTransmissions = 4096

// transmission records one run of sequence numbers that left in one segment
// (RFC 8985, 5.2). Records are in sequence order and cover snd.una to snd.nxt
// without a gap.
type transmission struct {
	start, end Seq
	sent       Time // when it was last sent
	sacked     bool
	lost       bool // deemed lost and not sent again yet
	resent     bool // sent more than once
}

func (t *transmission) len() int { return t.start.To(t.end) }

// flight is what has been sent and not yet acknowledged cumulatively.
type flight struct {
	tx     []transmission
	inline [2]transmission
	head   int
	sacked int // octets (SYN and FIN counted) the peer has selectively
	lost   int // octets deemed lost and not sent again
}

func (f *flight) live() []transmission { return f.tx[f.head:] }

func (f *flight) empty() bool { return f.head == len(f.tx) }

func (f *flight) full() bool { return len(f.tx)-f.head >= maxTransmissions }

// add records the first transmission of start to end.
func (f *flight) add(start, end Seq, now Time) {
	if f.tx == nil {
		f.tx = f.inline[:0]
	}
	if f.head > 32 && f.head*2 > len(f.tx) {
		n := copy(f.tx, f.tx[f.head:])
		f.tx, f.head = f.tx[:n], 0
	}
	f.tx = append(f.tx, transmission{start: start, end: end, sent: now})
}

// ackTo drops the records before una and shortens the one that una cuts.
func (f *flight) ackTo(una Seq) {
	for f.head < len(f.tx) {
		t := &f.tx[f.head]
		if una.AtMost(t.start) {
			break
		}
		n := min(t.start.To(una), t.len())
		if t.sacked {
			f.sacked -= n
		}
		if t.lost {
			f.lost -= n
		}
		if n < t.len() {
			t.start = una
			break
		}
		f.head++
	}
	if f.head == len(f.tx) {
		f.head = 0
		if cap(f.tx) > 64 {
			f.tx = nil
		} else {
			f.tx = f.tx[:0]
		}
	}
}

// splitAt makes seq a border between two records; i is the live index of the
// record that holds it. It tells whether it could.
func (f *flight) splitAt(i int, seq Seq) bool {
	t := f.live()[i]
	if seq.AtMost(t.start) || seq.AtLeast(t.end) {
		return true
	}
	if f.full() {
		return false
	}
	f.tx = append(f.tx, transmission{})
	live := f.live()
	copy(live[i+1:], live[i:])
	live[i].end = seq
	live[i+1].start = seq
	return true
}

func (f *flight) markLost(t *transmission) {
	if !t.lost && !t.sacked {
		t.lost = true
		f.lost += t.len()
	}
}

func (f *flight) markSacked(t *transmission) {
	if t.sacked {
		return
	}
	if t.lost {
		t.lost = false
		f.lost -= t.len()
	}
	t.sacked = true
	f.sacked += t.len()
}

// renege forgets what the peer had selectively: after a timeout it may have
// dropped it (RFC 2018, section 8).
func (f *flight) renege() {
	for i := range f.live() {
		f.live()[i].sacked = false
	}
	f.sacked = 0
}

func (f *flight) reset() { *f = flight{} }

// find returns the live index of the record that holds seq, or of the first
// one behind it.
func (f *flight) find(seq Seq) int {
	live := f.live()
	lo, hi := 0, len(live)
	for lo < hi {
		mid := (lo + hi) / 2
		if live[mid].end.AtMost(seq) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
