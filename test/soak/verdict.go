package soak

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// What memory may do and still count as flat. Both numbers are allowances for
// what is not a leak:
//   - steadyMemory: tcpmitm keeps freed buffers, of each of four sizes and in
//     each shard up to 8 MiB (endpoint.Pool), and maps that have once been
//     large; a rare coincidence late in a run may fill what was not full before.
//   - steadyShare: how much is going on differs between phases.
//
// In a run of 10 minutes without a leak the slope made 15 MiB of the heap and
// 24 MiB of the resident set. It had 34 connections a second: 1 KiB leaked of each
// would have been 15 MiB in the three quarters, and 90 MiB in those of an hour.
const (
	steadyMemory = 24 << 20 // octets
	steadyShare  = 0.10     // of the median at the beginning
	// settleSamples is how many samples a trend needs, in all three quarters
	// together.
	settleSamples = 60
	// warmUp is the share of the traffic's time that is not compared: pools and
	// maps reach their size.
	warmUp = 0.25
	// leastTrend is the least duration of traffic for which there is a trend at
	// all: before, what grows is the working set, and with it what the garbage
	// collector lets pile up, which is as much again.
	leastTrend = 8 * time.Minute
	// heldMemory is how much more the garbage collector may leave at rest than
	// at the start, for each shard: the pool's free lists, when all four sizes
	// have their 8 MiB, and half of that for maps and rules.
	heldMemory = 48 << 20
)

// trend is how one quantity went in the traffic, after the warm-up.
type trend struct {
	name    string
	medians [3]float64 // of the second, third and fourth quarter
	growth  float64    // by the Theil-Sen slope, over the three quarters
	allowed float64
	judged  bool // there is enough to judge
}

// flat tells that nothing grows. Slope and medians must agree that something
// does, so that one busy phase at an end is no leak.
func (t *trend) flat() bool {
	return !t.judged || t.growth <= t.allowed || t.medians[2]-t.medians[0] <= t.allowed
}

// trendOf looks at the samples of the traffic.
func trendOf(name string, list []Sample, duration time.Duration, value func(*Sample) float64) trend {
	t := trend{name: name}
	var at, v []float64
	var quarters [3][]float64
	begin := time.Duration(float64(duration) * warmUp)
	for i := range list {
		s := &list[i]
		if s.At < begin || s.At > duration {
			continue
		}
		at, v = append(at, s.At.Seconds()), append(v, value(s))
		q := min(int((s.At-begin)*3/(duration-begin)), 2)
		quarters[q] = append(quarters[q], value(s))
	}
	for i := range quarters {
		t.medians[i] = median(quarters[i])
	}
	t.allowed = steadyMemory + steadyShare*t.medians[0]
	t.judged = len(v) >= settleSamples && duration >= leastTrend
	t.growth = theilSen(at, v) * (duration - begin).Seconds()
	return t
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	sort.Float64s(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// maxSlopes bounds the pairs that theilSen looks at.
const maxSlopes = 200_000

// theilSen is the median of the slopes between all pairs of points: outliers,
// up to 29 % of the points, do not move it.
func theilSen(at, v []float64) float64 {
	// Of long runs every so many points are enough.
	step := 1
	for n := len(at); n/step*(n/step)/2 > maxSlopes; step++ {
	}
	var slopes []float64
	for i := 0; i < len(at); i += step {
		for k := i + step; k < len(at); k += step {
			if at[k] > at[i] {
				slopes = append(slopes, (v[k]-v[i])/(at[k]-at[i]))
			}
		}
	}
	return median(slopes)
}

// left says what is left after the rest that was not there at the start.
func left(start, end *Sample) (out []string) {
	zero := func(what string, n int64) {
		if n != 0 {
			out = append(out, fmt.Sprintf("%d %s at the end", n, what))
		}
	}
	zero("flows", int64(end.Flows))
	zero("half-open flows", int64(end.HalfOpen))
	zero("records of TIME-WAIT", int64(end.Lingering))
	zero("timers", int64(end.Timers))
	zero("held segments", int64(end.Held))
	zero("packets in NFQUEUE", int64(end.Waiting))
	zero("verdicts refused by the kernel", int64(end.Verdicts))
	if end.Opened != end.Closed {
		out = append(out, fmt.Sprintf("%d connections were opened, %d closed", end.Opened, end.Closed))
	}
	more := func(what string, before, after int64) {
		if after > before {
			out = append(out, fmt.Sprintf("%d %s at the end, %d at the start", after, what, before))
		}
	}
	more("octets in buffers", start.Buffers, end.Buffers)
	more("file descriptors", int64(start.FDs), int64(end.FDs))
	more("goroutines", int64(start.Goroutines), int64(end.Goroutines))
	if start.Firewall != end.Firewall {
		out = append(out, fmt.Sprintf("%d rules in the firewall at the end, %d at the start", end.Firewall, start.Firewall))
	}
	return out
}

// verdict is what is wrong with a run; nothing is a pass.
func (r *Result) verdict() (wrong []string) {
	wrong = append(wrong, r.problems...)
	n, _ := r.tally.total()
	for o := broken; o < outcomes; o++ {
		if n[o] > 0 {
			wrong = append(wrong, fmt.Sprintf("%d pieces of traffic: %v", n[o], o))
		}
	}
	wrong = append(wrong, r.missing()...)
	if r.end != nil {
		wrong = append(wrong, left(&r.start, r.end)...)
		if grown := r.end.HeapLive - r.start.HeapLive; grown > r.allowedAtRest() {
			wrong = append(wrong, fmt.Sprintf("the heap holds %s more at rest than at the start, %s are allowed", mib(float64(grown)), mib(float64(r.allowedAtRest()))))
		}
	}
	for i := range r.trends {
		if t := &r.trends[i]; !t.flat() {
			wrong = append(wrong, fmt.Sprintf("%s is not flat: it grows by %s, %s are allowed", t.name, mib(t.growth), mib(t.allowed)))
		}
	}
	return wrong
}

func (r *Result) allowedAtRest() int64 { return heldMemory * int64(r.shards) }

// missing says what of the traffic did not happen: a run in which nothing went
// on shows nothing.
func (r *Result) missing() (out []string) {
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	for _, k := range kinds {
		n := 0
		for name, c := range r.tally.counts {
			if name == k.name || strings.HasPrefix(name, k.name+", ") {
				n += c[fine]
			}
		}
		if n == 0 {
			out = append(out, fmt.Sprintf("there was no traffic of the kind %q that went as meant", k.name))
		}
	}
	faults := uint64(0)
	for _, n := range r.fired {
		faults += n
	}
	if faults == 0 {
		out = append(out, "no fault has acted")
	}
	return out
}
