package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
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

// microRuns is how often all of them run, in turn.
const microRuns = 3

// runMicro measures a segment's cost with ten and with many flows.
func (r *results) runMicro(ctx context.Context, folder, duration string) error {
	program, err := filepath.Abs(filepath.Join(folder, "splice.test"))
	if err != nil {
		return err
	}
	if err := goCommand(ctx, ".", nil, "test", "-c", "-o", program, "./splice"); err != nil {
		return err
	}
	var all []byte
	for range microRuns {
		cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", microPattern, "-test.benchmem", "-test.benchtime", duration)
		cmd.Dir = "splice"
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("micro-benchmarks of splice: %w\n%s", err, out)
		}
		all = append(all, out...)
	}
	r.Micro, err = parseMicro(string(all))
	return err
}

// parseMicro reads a test program's reports. Of several runs of one benchmark the
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
