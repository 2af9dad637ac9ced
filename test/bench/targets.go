package main

import "fmt"

// aim is a target: tcpmitm's share of another contender in one metric, at
// least or at most.
type aim struct {
	text, metric, to string
	atMost           bool
	limit            float64
}

// aims are the targets on the machine with two cores.
var aims = []aim{
	{"one stream, of the null datapath", "one", "null", false, 0.85},
	{"other direction, of the null datapath", "back", "null", false, 0.85},
	{"one stream, of HAProxy", "one", "haproxy", false, 1.2},
	{"other direction, of HAProxy", "back", "haproxy", false, 1.2},
	{"four streams, of HAProxy", "four", "haproxy", false, 1.0},
	{"new connections, of HAProxy", "new", "haproxy", false, 1.3},
	{"requests on kept connections, of HAProxy", "keep", "haproxy", false, 1.0},
	{"99th percentile of these, of HAProxy", "p99", "haproxy", true, 1.0},
	{"one stream, of Toxiproxy", "one", "toxiproxy", false, 1.3},
	{"other direction, of Toxiproxy", "back", "toxiproxy", false, 1.3},
	{"four streams, of Toxiproxy", "four", "toxiproxy", false, 1.3},
	{"new connections, of Toxiproxy", "new", "toxiproxy", false, 1.5},
	{"requests on kept connections, of Toxiproxy", "keep", "toxiproxy", false, 1.0},
	{"one stream, of gVisor netstack", "one", "netstack", false, 5},
	{"other direction, of gVisor netstack", "back", "netstack", false, 5},
	{"four streams, of gVisor netstack", "four", "netstack", false, 5},
	{"new connections, of gVisor netstack", "new", "netstack", false, 5},
	{"requests on kept connections, of gVisor netstack", "keep", "netstack", false, 5},
}

const (
	idleTarget  = 3 << 10 // octets of one idle spliced connection
	flowsTarget = 1.3     // cost of a segment among many flows, of that among ten
)

// verdict is a target and what came of it.
type verdict struct {
	Target string  `json:"target"`
	Want   string  `json:"want"`
	Got    float64 `json:"got"`
	Pass   bool    `json:"pass"`
}

// judge compares with the targets. What was not measured is not judged.
func (r *results) judge() []verdict {
	var list []verdict
	add := func(text string, got float64, atMost bool, limit float64) {
		want, pass := fmt.Sprintf("at least %g", limit), got >= limit
		if atMost {
			want, pass = fmt.Sprintf("at most %g", limit), got <= limit
		}
		list = append(list, verdict{text, want, got, pass})
	}
	for _, a := range aims {
		if got, ok := r.ratio(a.metric, "tcpmitm", a.to); ok {
			add(a.text, got, a.atMost, a.limit)
		}
	}
	if resident, _, n, ok := r.perConnection("tcpmitm"); ok {
		add(fmt.Sprintf("idle connection, KiB of the process (%d of them)", n), resident/1024, true, idleTarget/1024)
	}
	if few, many, ok := r.turns("tcpmitm"); ok && few.TurnProcess > 0 {
		add(fmt.Sprintf("a segment on %d connections in turn, of that on %d: CPU of the process", many.Connections, few.Connections),
			many.TurnProcess/few.TurnProcess, true, flowsTarget)
	}
	for _, kind := range []struct{ name, text string }{
		{"FlowsInTurn", "a segment among 100,000 flows in turn, of that among 10"},
		{"BusyFlow", "a segment of a busy flow among 100,000, of that among 10"},
	} {
		few, ok1 := r.Micro[kind.name+"/10"]
		many, ok2 := r.Micro[kind.name+"/100000"]
		if ok1 && ok2 && few.Nanoseconds > 0 {
			add(kind.text, many.Nanoseconds/few.Nanoseconds, true, flowsTarget)
			add("allocations, "+kind.text[:len("a segment")]+" ("+kind.name+")", max(few.Allocations, many.Allocations), true, 0)
		}
	}
	return list
}
