package expect

import (
	"fmt"
	"sort"
	"strings"
)

// Wanted is all that is wanted. Its parts are joined by "and".
type Wanted struct {
	// Fired is how often faults are to act in all; nil is any number.
	Fired *Count
	// FiredBy says whose faults, for people.
	FiredBy string
	// Connections is how many connections must fulfil all Conditions.
	Connections uint64
	// All wants every connection that ends to fulfil them.
	All        bool
	Conditions []Condition
}

// State is how far it has come.
type State uint8

// The states.
const (
	Waiting State = iota // for more
	Met                  // all is there, and nothing can change that
	Failed               // what has happened cannot be undone
)

// Judge compares what happens with what is wanted.
type Judge struct {
	wanted   Wanted
	fired    uint64
	ended    tally
	open     tally // as of the last look
	bad      uint64
	badWords string // what the first bad one was
}

// maxWords bounds how many different sights are remembered for the text.
const maxWords = 16

// tally counts connections.
type tally struct {
	count uint64
	good  uint64 // fulfil all conditions
	each  []each // by condition
}

// each is what was seen with regard to one condition.
type each struct {
	good uint64
	seen map[string]uint64
}

// NewJudge makes a Judge that has seen nothing.
func NewJudge(w Wanted) *Judge {
	j := &Judge{wanted: w}
	j.ended.clear(len(w.Conditions))
	j.open.clear(len(w.Conditions))
	return j
}

func (t *tally) clear(conditions int) { *t = tally{each: make([]each, conditions)} }

// Ended tells of a connection that is over, once.
func (j *Judge) Ended(f *Facts) {
	f.Over = true
	if !j.ended.add(j.wanted.Conditions, f) {
		if j.bad++; j.bad == 1 {
			j.badWords = j.words(f)
		}
	}
}

// Open tells of all connections that are open.
func (j *Judge) Open(list []Facts) {
	j.open.clear(len(j.wanted.Conditions))
	for i := range list {
		list[i].Over = false
		j.open.add(j.wanted.Conditions, &list[i])
	}
}

// Fired tells how often faults have acted in all.
func (j *Judge) Fired(n uint64) { j.fired = n }

func (t *tally) add(conditions []Condition, f *Facts) (good bool) {
	t.count++
	good = true
	for i := range conditions {
		c, e := &conditions[i], &t.each[i]
		if c.judge(f) == yes {
			e.good++
		} else {
			good = false
		}
		if e.seen == nil {
			e.seen = map[string]uint64{}
		}
		words := "open"
		if f.Over || c.judge(f) != later {
			words = c.seen(f)
		}
		if _, known := e.seen[words]; known || len(e.seen) < maxWords {
			e.seen[words]++
		}
	}
	if good {
		t.good++
	}
	return good
}

// words say what was seen of a connection that does not fulfil the conditions.
func (j *Judge) words(f *Facts) string {
	var parts []string
	for i := range j.wanted.Conditions {
		if c := &j.wanted.Conditions[i]; c.judge(f) != yes {
			parts = append(parts, c.seen(f))
		}
	}
	return fmt.Sprintf("connection %d: %s", f.Conn, strings.Join(parts, ", "))
}

func (j *Judge) good() uint64 { return j.ended.good + j.open.good }

// State says how far it has come.
func (j *Judge) State() State {
	w := &j.wanted
	switch {
	case w.All && j.bad > 0, w.Fired != nil && w.Fired.exceeded(j.fired):
		return Failed
	case j.lacking():
		return Waiting
	case w.Fired != nil && w.Fired.Bounded:
		return Waiting // to see that it does not come to more
	}
	return Met
}

// lacking tells that something is not there yet.
func (j *Judge) lacking() bool {
	return j.wanted.Fired != nil && !j.wanted.Fired.has(j.fired) || j.good() < j.wanted.Connections
}

// Result is what became of one thing that was wanted.
type Result struct {
	Name string
	OK   bool
	Seen string
}

// Results are the judgement when the time is over, or State is no longer
// Waiting; ok tells that all is well.
func (j *Judge) Results() (list []Result, ok bool) {
	w := &j.wanted
	if w.Fired != nil {
		list = append(list, Result{w.FiredBy + " fired " + w.Fired.String(), w.Fired.has(j.fired), fmt.Sprintf("fired %d times", j.fired)})
	}
	for i := range w.Conditions {
		n := j.ended.each[i].good + j.open.each[i].good
		enough := n >= max(w.Connections, 1) && !(w.All && j.ended.each[i].good < j.ended.count)
		list = append(list, Result{w.Conditions[i].Name, enough, j.sights(i)})
	}
	if w.Connections > 0 {
		r := Result{Name: fmt.Sprintf("%d connections", w.Connections), OK: j.good() >= w.Connections}
		if len(w.Conditions) > 1 {
			r.Name = fmt.Sprintf("all of it on %d connections", w.Connections)
		}
		r.Seen = fmt.Sprintf("%d of %d that ended and %d that are open", j.good(), j.ended.count, j.open.count)
		if w.All {
			r.Name = fmt.Sprintf("on every connection, and %d at least", w.Connections)
			r.OK = r.OK && j.bad == 0
			if j.bad > 0 {
				r.Seen += fmt.Sprintf("; %d not so, the first of them %s", j.bad, j.badWords)
			}
		}
		list = append(list, r)
	}
	ok = true
	for i := range list {
		ok = ok && list[i].OK
	}
	return list, ok
}

// sights say what was seen with regard to a condition, most often first.
func (j *Judge) sights(i int) string {
	all := map[string]uint64{}
	for _, t := range []*tally{&j.ended, &j.open} {
		for words, n := range t.each[i].seen {
			all[words] += n
		}
	}
	if len(all) == 0 {
		return "no connection"
	}
	keys := make([]string, 0, len(all))
	for words := range all {
		keys = append(keys, words)
	}
	sort.Slice(keys, func(a, b int) bool {
		if all[keys[a]] != all[keys[b]] {
			return all[keys[a]] > all[keys[b]]
		}
		return keys[a] < keys[b]
	})
	for k, words := range keys {
		if n := all[words]; n > 1 {
			keys[k] = fmt.Sprintf("%s (%d connections)", words, n)
		}
	}
	return strings.Join(keys, "; ")
}
