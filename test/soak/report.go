package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Result is what a run has shown.
type Result struct {
	plan    Plan
	began   time.Time
	version string
	shards  int
	tally   *tally
	samples []Sample
	start   Sample  // before the traffic
	end     *Sample // after the rest; nil if it never came to that
	rested  time.Duration
	trends  []trend
	fired   map[string]uint64

	phases, calm, rough       int
	reloads, changes, refused int
	problems                  []string // that no number shows
}

func mib(v float64) string { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }

// Text is the report, in Markdown.
func (r *Result) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n# Soak of %v, seed %d, load %g\n\n", r.plan.Duration, r.plan.Seed, r.plan.Load)
	fmt.Fprintf(&b, "Began %s; tcpmitm %s. %d phases, of these %d without faults and %d with loss at the hosts; rules read again %d times, changed %d times, a wrong file refused %d times.\n\n",
		r.began.Format("2006-01-02 15:04 MST"), r.version, r.phases, r.calm, r.rough, r.reloads, r.changes, r.refused)
	r.writeTraffic(&b)
	r.writeFaults(&b)
	r.writeSamples(&b)
	wrong := r.verdict()
	if len(wrong) == 0 {
		fmt.Fprintf(&b, "Verdict: **PASS**\n")
		return b.String()
	}
	fmt.Fprintf(&b, "Verdict: **FAIL**\n\n")
	for _, w := range wrong {
		fmt.Fprintf(&b, "- %s\n", w)
	}
	if f := r.tally.failures; len(f) > 0 {
		fmt.Fprintf(&b, "\nWhat failed first:\n\n")
		for _, line := range f {
			fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(line, "\n", "; "))
		}
		if r.tally.more > 0 {
			fmt.Fprintf(&b, "- and %d more\n", r.tally.more)
		}
	}
	return b.String()
}

// Failed tells that the run has not passed.
func (r *Result) Failed() bool { return len(r.verdict()) > 0 }

func (r *Result) writeTraffic(b *strings.Builder) {
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	rows := [][]string{{"traffic"}}
	for o := range outcomes {
		rows[0] = append(rows[0], o.String())
	}
	rows[0] = append(rows[0], "MB, checked")
	kinds := slices.Clone(r.tally.kinds)
	slices.Sort(kinds)
	var sum [outcomes]int
	var octets int64
	for _, k := range kinds {
		row := []string{k}
		for o, n := range r.tally.counts[k] {
			sum[o] += n
			row = append(row, count(n))
		}
		octets += r.tally.octets[k]
		rows = append(rows, append(row, fmt.Sprintf("%.1f", float64(r.tally.octets[k])/1e6)))
	}
	row := []string{"all"}
	for _, n := range sum {
		row = append(row, count(n))
	}
	table(b, append(rows, append(row, fmt.Sprintf("%.1f", float64(octets)/1e6))))
}

func count(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func (r *Result) writeFaults(b *strings.Builder) {
	fmt.Fprint(b, "How often faults and policies have acted:")
	sep := " "
	for _, k := range slices.Sorted(maps.Keys(r.fired)) {
		if r.fired[k] > 0 {
			fmt.Fprintf(b, "%s%s %d", sep, k, r.fired[k])
			sep = ", "
		}
	}
	fmt.Fprint(b, ".\n\n")
}

// near is the sample that is nearest to a time.
func near(list []Sample, at time.Duration) *Sample {
	best := &list[0]
	for i := range list {
		if (list[i].At - at).Abs() < (best.At - at).Abs() {
			best = &list[i]
		}
	}
	return best
}

func (r *Result) writeSamples(b *strings.Builder) {
	type moment struct {
		name string
		s    *Sample
	}
	moments := []moment{{"start", &r.start}}
	if len(r.samples) > 0 {
		for q := 1; q <= 4; q++ {
			moments = append(moments, moment{fmt.Sprintf("%d/4", q), near(r.samples, r.plan.Duration*time.Duration(q)/4)})
		}
	}
	if r.end != nil {
		moments = append(moments, moment{fmt.Sprintf("after %v of rest", r.rested.Round(time.Second)), r.end})
	}
	rows := [][]string{{"", "RSS", "heap, live", "fds", "goroutines", "threads", "flows", "lingering", "timers", "held", "buffers", "CPU"}}
	for _, m := range moments {
		s := m.s
		rows = append(rows, []string{m.name, mib(float64(s.RSS)), mib(float64(s.HeapLive)), fmt.Sprint(s.FDs), fmt.Sprint(s.Goroutines),
			fmt.Sprint(s.Threads), fmt.Sprint(s.Flows), fmt.Sprint(s.Lingering), fmt.Sprint(s.Timers), fmt.Sprint(s.Held),
			mib(float64(s.Buffers)), fmt.Sprintf("%.1f s", s.CPU.Seconds())})
	}
	table(b, rows)
	if r.end != nil {
		s := r.end
		fmt.Fprintf(b, "Rules in the gateway's firewall: %d at the start, %d at the end. Kernel: %d packets found a queue full, %d a socket; %d overruns, %d packets lost on the way out, %d send errors, %d verdicts refused.\n\n",
			r.start.Firewall, s.Firewall, s.QueueFull, s.SocketFull, s.Overruns, s.LostOut, s.SendErrors, s.Verdicts)
	}
	rows = [][]string{{"after the warm-up", "2nd quarter, median", "3rd", "4th", "growth by slope", "allowed", ""}}
	for i := range r.trends {
		t := &r.trends[i]
		word := "flat"
		if !t.judged {
			word = "too short to judge"
		} else if !t.flat() {
			word = "GROWS"
		}
		rows = append(rows, []string{t.name, mib(t.medians[0]), mib(t.medians[1]), mib(t.medians[2]), mib(t.growth), mib(t.allowed), word})
	}
	table(b, rows)
}

// table writes rows in Markdown, the first as head.
func table(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
	fmt.Fprintln(b)
}
