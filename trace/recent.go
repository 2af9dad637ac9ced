package trace

import (
	"sync/atomic"

	"tcpmitm/splice"
)

// MaxRecent is how many connections that are over a Tracer remembers.
const MaxRecent = 2048

// recent are the connections that have ended last, for who asks afterwards.
// Shards write without waiting for each other or for a reader.
type recent struct {
	ended atomic.Uint64 // how many have, and the place of the next
	ring  [MaxRecent]atomic.Pointer[ended]
}

// ended is a connection that is over; serial counts them from 1.
type ended struct {
	serial  uint64
	summary splice.Summary
}

func (r *recent) add(s *splice.Summary) {
	n := r.ended.Add(1)
	r.ring[n%MaxRecent].Store(&ended{n, *s})
}

// Ended tells of the connections that have ended since there were after of
// them, the oldest first, and how many have ended in all. What is forgotten
// is not in the list.
func (t *Tracer) Ended(after uint64, f *Filter) (list []*Event, all uint64) {
	w := scribe{t.opt.Epoch}
	all = t.recent.ended.Load()
	if after >= all {
		return nil, all
	}
	if all > MaxRecent {
		after = max(after, all-MaxRecent)
	}
	for n := after + 1; n <= all; n++ {
		e := t.recent.ring[n%MaxRecent].Load()
		if e == nil || e.serial < n {
			// It is counted and about to be stored: it is told next time.
			return list, n - 1
		}
		if e.serial == n && f.closed(&e.summary) {
			list = append(list, w.closed(&e.summary))
		}
	}
	return list, all
}
