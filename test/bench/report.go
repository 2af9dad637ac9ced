package main

import (
	"fmt"
	"slices"
	"strings"
)

// column is one metric of a table.
type column struct{ metric, head, format string }

var tables = []struct {
	title   string
	columns []column
}{
	{"Streams: median (lowest - highest) of the rounds", []column{
		{"one", "one, Gbit/s", "%.1f"}, {"back", "other direction", "%.1f"}, {"four", "four", "%.1f"},
		{"cpu-gb", "CPU s/GB, machine", "%.2f"}, {"own-gb", "process", "%.2f"},
	}},
	{"Small packets, 50 connections", []column{
		{"new", "new connections/s", "%.0f"}, {"cpu-10k", "CPU s/10,000, machine", "%.2f"}, {"own-10k", "process", "%.2f"},
		{"keep", "requests/s", "%.0f"}, {"p50", "p50, us", "%.0f"}, {"p99", "p99, us", "%.0f"},
	}},
}

// comparisons are what tcpmitm is divided by.
var comparisons = []string{"plain", "null", "haproxy", "toxiproxy", "netstack", "other"}

// text is the report, in Markdown.
func (r *results) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s; %d rounds; %s\n", r.Began.Format("2006-01-02 15:04 MST"), r.Rounds, r.Machine)
	for _, t := range tables {
		rows, some := [][]string{{"contender"}}, false
		for _, c := range t.columns {
			some = some || anySample(r, c.metric)
			rows[0] = append(rows[0], c.head)
		}
		for _, key := range r.Contenders {
			row := []string{nameOf(key)}
			for _, c := range t.columns {
				row = append(row, r.cell(key, c))
			}
			rows = append(rows, row)
		}
		if some {
			writeTable(&b, t.title, rows)
		}
	}
	r.writeLatency(&b)
	r.writeIdle(&b)
	r.writeTurns(&b)
	r.writeRatios(&b)
	r.writeTargets(&b)
	for _, n := range r.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	for _, f := range r.Failures {
		fmt.Fprintln(&b, "FAILED:", f)
	}
	return b.String()
}

func nameOf(key string) string {
	for _, c := range contenders {
		if c.key == key {
			return c.name
		}
	}
	return key
}

func (r *results) cell(contender string, c column) string {
	s, ok := r.spread(contender, c.metric)
	if !ok {
		return "-"
	}
	text := fmt.Sprintf(c.format, s.Median)
	if low, high := fmt.Sprintf(c.format, s.Min), fmt.Sprintf(c.format, s.Max); low != high {
		text += " (" + low + " - " + high + ")"
	}
	return text
}

// writeLatency has what each contender adds to the round trip of the same
// round's plain forwarding.
func (r *results) writeLatency(b *strings.Builder) {
	rows := [][]string{{"contender", "round trip, us", "added"}}
	for _, key := range r.Contenders {
		var added []float64
		for round, v := range r.Samples[key]["ping"] {
			if base, ok := r.Samples["plain"]["ping"][round]; ok && key != "plain" {
				added = append(added, v-base)
			}
		}
		text := "-"
		if s, ok := spreadOf(added); ok {
			text = fmt.Sprintf("%.0f (%.0f - %.0f)", s.Median, s.Min, s.Max)
		}
		rows = append(rows, []string{nameOf(key), r.cell(key, column{"ping", "", "%.0f"}), text})
	}
	if anySample(r, "ping") {
		writeTable(b, "Ping-pong of one octet on one connection", rows)
	}
}

func anySample(r *results, metric string) bool {
	for _, m := range r.Samples {
		if len(m[metric]) > 0 {
			return true
		}
	}
	return false
}

func (r *results) writeIdle(b *strings.Builder) {
	if len(r.Idle) == 0 {
		return
	}
	rows := [][]string{{"contender", "idle connections: MiB of the process", "KiB each", "KiB each, machine beyond plain"}}
	for _, key := range r.Contenders {
		list := r.Idle[key]
		if len(list) == 0 {
			continue
		}
		var parts []string
		for _, i := range list {
			parts = append(parts, fmt.Sprintf("%d: %.1f", i.Connections, float64(i.Resident)/(1<<20)))
		}
		each, machine := "-", "-"
		if resident, beyond, _, ok := r.perConnection(key); ok && key != "plain" {
			each = fmt.Sprintf("%.1f", resident/1024)
			if beyond != 0 {
				machine = fmt.Sprintf("%.1f", beyond/1024)
			}
		}
		rows = append(rows, []string{nameOf(key), strings.Join(parts, ", "), each, machine})
	}
	writeTable(b, "Memory", rows)
}

func (r *results) writeTurns(b *strings.Builder) {
	rows := [][]string{{"contender", "segments", "process, us of CPU for one", "most connections, of fewest", "machine, us", "most connections, of fewest"}}
	for _, key := range r.Contenders {
		few, many, ok := r.turns(key)
		if !ok {
			continue
		}
		var segments, process, machine []string
		for _, i := range r.Idle[key] {
			if i.TurnMachine > 0 {
				segments = append(segments, fmt.Sprintf("%.1f", i.Segments))
				process = append(process, fmt.Sprintf("%d: %.1f", i.Connections, i.TurnProcess))
				machine = append(machine, fmt.Sprintf("%d: %.1f", i.Connections, i.TurnMachine))
			}
		}
		row := []string{nameOf(key), strings.Join(segments, ", "), "-", "-", strings.Join(machine, ", "), fmt.Sprintf("%.2f", many.TurnMachine/few.TurnMachine)}
		if few.TurnProcess > 0 {
			row[2], row[3] = strings.Join(process, ", "), fmt.Sprintf("%.2f", many.TurnProcess/few.TurnProcess)
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		writeTable(b, fmt.Sprintf("%d octets there and back, on connections in turn, %d of them at a time", idleHello, turnWindow), rows)
	}
}

func (r *results) writeRatios(b *strings.Builder) {
	rows := [][]string{{"tcpmitm, of"}}
	against := slices.DeleteFunc(slices.Clone(comparisons), func(key string) bool { return key == "other" && len(r.Samples[key]) == 0 })
	for _, to := range against {
		rows[0] = append(rows[0], nameOf(to))
	}
	for _, c := range []column{{"one", "one stream", ""}, {"back", "other direction", ""}, {"four", "four streams", ""}, {"new", "new connections", ""},
		{"keep", "requests", ""}, {"p99", "p99 (less is better)", ""}, {"ping", "round trip (less is better)", ""}, {"cpu-gb", "CPU per GB (less is better)", ""}} {
		row, some := []string{c.head}, false
		for _, to := range against {
			text := "-"
			if v, ok := r.ratio(c.metric, "tcpmitm", to); ok {
				text, some = fmt.Sprintf("%.2f", v), true
			}
			row = append(row, text)
		}
		if some {
			rows = append(rows, row)
		}
	}
	if len(rows) > 1 {
		writeTable(b, "Ratios: median of the rounds' ratios", rows)
	}
}

func (r *results) writeTargets(b *strings.Builder) {
	rows := [][]string{{"target", "wanted", "got", ""}}
	missed := 0
	for _, v := range r.judge() {
		word := "PASS"
		if !v.Pass {
			word = "MISS"
			missed++
		}
		rows = append(rows, []string{v.Target, v.Want, fmt.Sprintf("%.2f", v.Got), word})
	}
	if len(rows) > 1 {
		writeTable(b, fmt.Sprintf("Targets: %d of %d missed", missed, len(rows)-1), rows)
	}
}

// writeTable writes a Markdown table whose columns line up.
func writeTable(b *strings.Builder, title string, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), 3)
		}
	}
	fmt.Fprintf(b, "\n%s\n\n", title)
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(b, "| %-*s ", widths[i], cell)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	b.WriteString("\n")
}
