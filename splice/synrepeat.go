package splice

import (
	"encoding/binary"
	"time"

	"tcpmitm/endpoint"
)

// synRepeats spares a shard in a flood the work of answering each SYN: beyond
// cookieRate SYN cookies a second a SYN is only remembered, and answered when
// it comes once more, as an honest client sends it after a second (RFC 6298,
// 2.1). A flood of random sources repeats nothing. So what the flood costs is
// little more than reading it, the queue stays short, and the packets of
// everybody else find room in it.
//
// Who has been heard is kept in a Bloom filter of two generations: it has a
// fixed size, and a stranger whom it mistakes for somebody else is answered at
// once.
type synRepeats struct {
	young, old *cookieFilter
	since      endpoint.Time
	tokens     time.Duration // of the bucket, as the time that refills it
	filled     endpoint.Time
}

const (
	// cookieRate is how many SYN cookies a second a shard sends to whoever
	// comes for the first time; cookieBurst is how many of them at once.
	// One that comes back makes room for another: honest clients are not held
	// up, however many they are.
	cookieRate  = 2000
	cookieBurst = 500
	cookieEach  = time.Second / cookieRate
	// repeatMemory is how long a generation is the young one: the pauses
	// between the first four SYNs of a client are 1 s, 2 s and 4 s.
	repeatMemory = 4 * time.Second
)

// answers tells whether a SYN is to be answered by a cookie now.
func (r *synRepeats) answers(now endpoint.Time, j *cookieJar, t *endpoint.Tuple, isn endpoint.Seq) bool {
	r.add(now.Sub(r.filled))
	r.filled = now
	if r.tokens >= cookieEach {
		r.tokens -= cookieEach
		return true
	}
	r.age(now)
	a, b := j.repeatBits(t, isn)
	if r.young.has(a, b) || r.old != nil && r.old.has(a, b) {
		return true
	}
	r.young.set(a, b)
	return false
}

func (r *synRepeats) add(d time.Duration) { r.tokens = min(r.tokens+d, cookieBurst*cookieEach) }

// cameBack notes that a cookie was acknowledged.
func (r *synRepeats) cameBack() { r.add(cookieEach) }

func (r *synRepeats) age(now endpoint.Time) {
	past := now.Sub(r.since)
	if r.young != nil && past < repeatMemory {
		return
	}
	if past >= 2*repeatMemory {
		r.young = nil // it is too old even for the old one
	}
	r.young, r.old, r.since = new(cookieFilter), r.young, now
}

// forget gives the memory back once there is no flood any more.
func (r *synRepeats) forget(now endpoint.Time) {
	if r.young != nil && now.Sub(r.since) >= 2*repeatMemory {
		r.young, r.old = nil, nil
	}
}

// What the hash of a SYN has for a time, which is no time of a cookie's.
const repeatSalt = 1<<60 + 2

func (j *cookieJar) repeatBits(t *endpoint.Tuple, isn endpoint.Seq) (a, b uint32) {
	x := j.cbc(t, isn, 0, repeatSalt)
	return binary.BigEndian.Uint32(x[:]) % cookieFilterBits, binary.BigEndian.Uint32(x[4:]) % cookieFilterBits
}

func (f *cookieFilter) set(a, b uint32) {
	f[a/64] |= 1 << (a % 64)
	f[b/64] |= 1 << (b % 64)
}

func (f *cookieFilter) has(a, b uint32) bool { return (f[a/64]>>(a%64))&(f[b/64]>>(b%64))&1 != 0 }
