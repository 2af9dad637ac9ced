package splice

import "tcpmitm/endpoint"

// cookieClients remembers for some minutes, and roughly, who was sent a SYN
// cookie: by it a segment that looks like a client's that was sent one is told
// from that of somebody who was not, and whose connection is none of ours. It
// is a Bloom filter in two generations: nobody is forgotten too early, and few
// are taken for somebody whom they are not. Of a million cookies in one
// generation it mistakes one stranger in seven, of a hundred thousand one in
// five hundred, and of those only those whose ACK looks like a cookie.
type cookieClients struct {
	young, old *cookieFilter
	since      endpoint.Time
}

const (
	// cookieFilterBits is the size of one generation: 512 KiB, and only while
	// cookies are in use.
	cookieFilterBits = 1 << 22
	// cookieMemory is how long a generation is the young one: as long as a
	// cookie is good.
	cookieMemory = 2 * cookiePeriod
	// What the hashes of the filter have for a time, which is no time of a
	// cookie's.
	filterSalt = 1 << 60
)

type cookieFilter [cookieFilterBits / 64]uint64

func (j *cookieJar) bitsOf(t *endpoint.Tuple) (a, b uint32) {
	return j.mac(t, 0, 0, filterSalt) % cookieFilterBits, j.mac(t, 0, 0, filterSalt+1) % cookieFilterBits
}

// remember notes that a client is sent a cookie.
func (j *cookieJar) remember(now endpoint.Time, t *endpoint.Tuple) {
	c := &j.clients
	if c.young == nil || now.Sub(c.since) >= cookieMemory {
		if now.Sub(c.since) >= 2*cookieMemory {
			c.young = nil // it is too old even for the old one
		}
		c.young, c.old, c.since = new(cookieFilter), c.young, now
	}
	a, b := j.bitsOf(t)
	c.young.set(a, b)
}

// sentTo tells whether a client may have been sent a cookie that is still
// good.
func (j *cookieJar) sentTo(t *endpoint.Tuple) bool {
	a, b := j.bitsOf(t)
	for _, f := range [...]*cookieFilter{j.clients.young, j.clients.old} {
		if f != nil && f.has(a, b) {
			return true
		}
	}
	return false
}

// forgetClients gives the memory back once no cookie is good any more.
func (j *cookieJar) forgetClients() { j.clients = cookieClients{} }
