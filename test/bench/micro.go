package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// microSample is what a micro-benchmark says of one operation.
type microSample struct {
	Nanoseconds float64 `json:"ns"`
	Allocations float64 `json:"allocations"`
}

// microPattern are the benchmarks of package splice that targets are about.
const microPattern = "^(BenchmarkFlowsInTurn|BenchmarkBusyFlow)$/^(10|100000)$"

var microLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*?\s(\d+) allocs/op`)

// runMicro measures a segment's cost with ten and with many flows.
func (r *results) runMicro(ctx context.Context, duration string) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", microPattern, "-benchmem",
		"-benchtime", duration, "-count", "3", "./splice").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	r.Micro, err = parseMicro(string(out))
	return err
}

// parseMicro reads go test's report. Of several runs of one benchmark the
// fastest counts: what disturbs can only make slower.
func parseMicro(out string) (map[string]microSample, error) {
	list := map[string]microSample{}
	for _, m := range microLine.FindAllStringSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, err
		}
		allocations, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, err
		}
		old, ok := list[m[1]]
		if ok {
			ns, allocations = min(ns, old.Nanoseconds), max(allocations, old.Allocations)
		}
		list[m[1]] = microSample{ns, allocations}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no benchmark in what go test says:\n%s", out)
	}
	return list, nil
}
