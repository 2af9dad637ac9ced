package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

const wrkReport = `Running 1s test @ http://10.71.2.2:8000/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.06ms    4.05ms  80.00ms   98.81%
    Req/Sec   116.82k    10.75k  131.71k    70.00%
  Latency Distribution
     50%  392.00us
     75%  455.00us
     90%  562.00us
     99%   12.09ms
  116222 requests in 1.00s, 24.05MB read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 50000
Requests/sec: 115993.69
Transfer/sec:     24.00MB
`

func TestParseWrk(t *testing.T) {
	r, err := parseWrk(wrkReport)
	if err != nil {
		t.Fatal(err)
	}
	if r.requests != 116222 || r.perSecond != 115993.69 || r.p50 != 392*time.Microsecond || r.p99 != 12090*time.Microsecond || r.errors != 54321 {
		t.Errorf("read as %+v", r)
	}
	for _, gone := range []string{"Requests/sec", "     99%", "requests in"} {
		if _, err := parseWrk(strings.ReplaceAll(wrkReport, gone, "")); err == nil {
			t.Errorf("a report without %q is taken", gone)
		}
	}
	if _, err := parseWrk(strings.ReplaceAll(wrkReport, "  116222 requests", "  0 requests")); err == nil {
		t.Error("a report of no request is taken")
	}
}

func TestParseUsage(t *testing.T) {
	got, err := parseMachine("cpu  100 20 300 4000 50 6 7 80 9 1\ncpu0 1 2 3\n")
	if err != nil || got != 4.33 {
		t.Errorf("machine: %v, %v; want 4.33", got, err)
	}
	if _, err := parseMachine("intr 1 2 3\n"); err == nil {
		t.Error("something else than the processors is taken")
	}
	got, err = parseProcess("77 (a (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 5 6 7")
	if err != nil || got != 3 {
		t.Errorf("process: %v, %v; want 3", got, err)
	}
	if _, err := parseProcess("77 (a) S 1"); err == nil {
		t.Error("half a line is taken")
	}
	kib, err := kilobytes("VmHWM:\t  9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:")
	if err != nil || kib != 1234<<10 {
		t.Errorf("memory: %d, %v; want %d", kib, err, 1234<<10)
	}
	if _, err := kilobytes("VmHWM: 9 kB\n", "VmRSS:"); err == nil {
		t.Error("memory that is not said is taken")
	}
}

func TestParseMicro(t *testing.T) {
	got, err := parseMicro(`goos: linux
BenchmarkFlowsInTurn/10-2         	  461857	      1654 ns/op	       0 B/op	       0 allocs/op
BenchmarkFlowsInTurn/10-2         	  461857	      1600.5 ns/op	       8 B/op	       1 allocs/op
BenchmarkFlowsInTurn/100000-2     	  165919	      4349 ns/op	  12.00 MB/s	       0 B/op	       0 allocs/op
BenchmarkFlowsInTurn/7            	  165919	      4350 ns/op	       0 B/op	       0 allocs/op
PASS
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]microSample{"FlowsInTurn/10": {1600.5, 1}, "FlowsInTurn/100000": {4349, 0}, "FlowsInTurn/7": {4350, 0}}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s is %+v, want %+v", name, got[name], w)
		}
	}
	if _, err := parseMicro("PASS\n"); err == nil {
		t.Error("a report without a benchmark is taken")
	}
}

// made is results of three rounds, of which HAProxy missed one.
func made() *results {
	r := newResults(&plan{rounds: 3}, contenders)
	for round, v := range []float64{10, 30, 20} {
		r.add("tcpmitm", "one", round, v)
		r.add("null", "one", round, 20)
	}
	r.add("haproxy", "one", 0, 5)
	r.add("haproxy", "one", 2, 20)
	r.add("tcpmitm", "p99", 0, 2)
	r.add("haproxy", "p99", 0, 1)
	r.Idle["plain"] = []idleSample{{}, {Connections: 10000, Machine: 30000 << 10, TurnMachine: 8}}
	r.Idle["tcpmitm"] = []idleSample{{Resident: 10 << 20}, {Connections: 10, Resident: 10 << 20, TurnProcess: 10, TurnMachine: 20},
		{Connections: 10000, Resident: 10<<20 + 20000<<10, Machine: 60000 << 10, TurnProcess: 15, TurnMachine: 22}}
	return r
}

func TestMediansAndRatios(t *testing.T) {
	r := made()
	if s, ok := r.spread("tcpmitm", "one"); !ok || s != (spread{20, 10, 30}) {
		t.Errorf("spread is %+v, %v", s, ok)
	}
	if _, ok := r.spread("netstack", "one"); ok {
		t.Error("what was not measured has a spread")
	}
	// Round by round 0.5, 1.5 and 1.
	if v, ok := r.ratio("one", "tcpmitm", "null"); !ok || v != 1 {
		t.Errorf("ratio to the null datapath is %v, %v; want 1", v, ok)
	}
	// Of the rounds that both have: 2 and 1.
	if v, ok := r.ratio("one", "tcpmitm", "haproxy"); !ok || v != 1.5 {
		t.Errorf("ratio to HAProxy is %v, %v; want 1.5", v, ok)
	}
	if _, ok := r.ratio("one", "tcpmitm", "netstack"); ok {
		t.Error("there is a ratio to what was not measured")
	}
	resident, machine, n, ok := r.perConnection("tcpmitm")
	if !ok || resident != 2048 || n != 10000 || math.Abs(machine-3*1024) > 1 {
		t.Errorf("a connection takes %v and %v octets, %d, %v", resident, machine, n, ok)
	}
}

func TestTurnsNeedTwoNumbersOfConnections(t *testing.T) {
	r := made()
	if few, many, ok := r.turns("tcpmitm"); !ok || few.Connections != 10 || many.Connections != 10000 {
		t.Errorf("turns are compared of %d and %d connections, %v", few.Connections, many.Connections, ok)
	}
	for _, other := range []string{"plain", "haproxy"} {
		if _, _, ok := r.turns(other); ok {
			t.Errorf("turns of %s are compared with nothing", other)
		}
	}
	if text := r.text(); !strings.Contains(text, "10: 10.0, 10000: 15.0") || !strings.Contains(text, "1.50") {
		t.Errorf("the report has no turns:\n%s", text)
	}
}

func TestSegmentsAreCounted(t *testing.T) {
	text := "Ip: Forwarding\nIp: 1\nTcp: RtoMin InSegs OutSegs RetransSegs\nTcp: 200 1000 234 7\nUdp: InSegs\nUdp: 5\n"
	if n, err := parseSegments(text); n != 1234 || err != nil {
		t.Errorf("%d segments, %v; want 1234", n, err)
	}
	for _, bad := range []string{"", "Tcp: InSegs OutSegs\n", "Tcp: InSegs\nTcp: 5\n", "Tcp: InSegs OutSegs\nTcp: 5 x\n"} {
		if n, err := parseSegments(bad); err == nil {
			t.Errorf("%q has %d segments", bad, n)
		}
	}
}

func TestTargetsAreJudged(t *testing.T) {
	r := made()
	r.Micro = map[string]microSample{"BusyFlow/10": {1000, 0}, "BusyFlow/100000": {1400, 0}}
	want := map[string]bool{
		"one stream, of the null datapath":                                          true,
		"one stream, of HAProxy":                                                    true,
		"99th percentile of these, of HAProxy":                                      false,
		"idle connection, KiB of the process (10000 of them)":                       true,
		"a segment on 10000 connections in turn, of that on 10: CPU of the process": false,
		"a segment of a busy flow among 100,000, of that among 10":                  false,
		"allocations, a segment (BusyFlow)":                                         true,
	}
	got := r.judge()
	if len(got) != len(want) {
		t.Errorf("%d targets are judged, want %d: %+v", len(got), len(want), got)
	}
	for _, v := range got {
		if pass, ok := want[v.Target]; !ok || pass != v.Pass {
			t.Errorf("%q: got %.2f, pass %v; want %v, %v", v.Target, v.Got, v.Pass, pass, ok)
		}
	}
	text := r.text()
	for _, part := range []string{"| MISS |", "| PASS |", "20.0 (10.0 - 30.0)", "Targets: 3 of 7 missed"} {
		if !strings.Contains(text, part) {
			t.Errorf("the report does not say %q:\n%s", part, text)
		}
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose("tcpmitm,plain"); err != nil || len(got) != 2 || got[0].key != "tcpmitm" {
		t.Errorf("chosen: %v, %v", got, err)
	}
	if _, err := choose("nobody"); err == nil {
		t.Error("nobody is chosen")
	}
	p := &plan{works: "one,idle"}
	if !p.wants("idle") || p.wants("ping") || !(&plan{}).wants("ping") {
		t.Error("works are chosen wrongly")
	}
}

func TestListed(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1389 0100007F:1388 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
`
	if !listed(table, 5000) {
		t.Error("who listens is not found")
	}
	if listed(table, 5001) || listed(table, 80) {
		t.Error("who does not listen is found")
	}
}
