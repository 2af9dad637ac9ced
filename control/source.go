package control

import (
	"log/slog"
	"runtime"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

// Source is where answers come from.
type Source struct {
	Shards  []*splice.Shard
	Version string
	Started time.Time
	// Edge tells what the kernel's edge of a shard has counted. It is called
	// on that shard's goroutine; nil is nothing.
	Edge func(shard int) Edge
	// Queues tells what the kernel says of the queues; nil is nothing.
	Queues func() []Queue
	// Rules returns the rules in force; nil is none.
	Rules func() *rules.Set
	// Lost tells what the trace could not show; nil is nothing.
	Lost func() (segments, ends uint64)
	// Rulebook changes the rules; nil is that they cannot be changed.
	Rulebook *Rulebook
	// Tracer is the observer of all shards, and where events are read; nil is
	// none.
	Tracer *trace.Tracer
	// Floods watches for SYN floods; nil is nobody.
	Floods *FloodWatch

	// Mode and Limits are those of the configuration.
	Mode   string
	Limits Limits
	// Log is told of what operators do to connections; nil is nobody.
	Log *slog.Logger

	watchers watchers // of segments
	wires    watchers // of packets
	prober   prober
}

// Edge is what the kernel's edge counts, in words of this package, so that it
// needs to know no edge in particular.
type Edge struct {
	PacketsIn     uint64           `json:"packets_in"`
	OctetsIn      uint64           `json:"octets_in"`
	Accepted      uint64           `json:"accepted"`
	Taken         uint64           `json:"taken"`
	Cut           uint64           `json:"cut"`            // packets too long for one message
	Overruns      uint64           `json:"overruns"`       // packets lost because the socket's buffer was full
	VerdictErrors uint64           `json:"verdict_errors"` // verdicts that the kernel refused
	PacketsOut    uint64           `json:"packets_out"`
	OctetsOut     uint64           `json:"octets_out"`
	LostOut       uint64           `json:"lost_out"` // packets that the kernel did not take
	Reasons       endpoint.Reasons `json:"-"`        // found by the decoder; in Counters.Drops
}

func (e *Edge) add(d *Edge) {
	e.PacketsIn += d.PacketsIn
	e.OctetsIn += d.OctetsIn
	e.Accepted += d.Accepted
	e.Taken += d.Taken
	e.Cut += d.Cut
	e.Overruns += d.Overruns
	e.VerdictErrors += d.VerdictErrors
	e.PacketsOut += d.PacketsOut
	e.OctetsOut += d.OctetsOut
	e.LostOut += d.LostOut
	for i := range e.Reasons {
		e.Reasons[i] += d.Reasons[i]
	}
}

// maxConnections bounds one answer about connections, whatever was asked for:
// a shard does nothing else while it lists its own.
const maxConnections = 100_000

// connections asks all shards for the connections that are meant; those that
// are over but for TIME-WAIT count only with all, as with ss(8). An error is
// one of splice's: a shard has stopped or is overwhelmed.
func (s *Source) connections(limit int, all bool, choose splice.Chooser) (*Connections, error) {
	out := &Connections{List: []Connection{}}
	for _, shard := range s.Shards {
		var list []splice.Connection
		err := shard.Do(func(sh *splice.Shard) {
			var n int
			// The live ones come first.
			list, n = sh.Choose(sh.Now(), nil, limit-len(out.List), all, choose)
			out.Total += n
		})
		if err != nil {
			return nil, err
		}
		for i := range list {
			out.List = append(out.List, connectionOf(&list[i]))
		}
	}
	return out, nil
}

// counters asks all shards and sums up.
func (s *Source) counters() (*Counters, error) {
	var sum splice.Counters
	var edge Edge
	for i, shard := range s.Shards {
		err := shard.Do(func(sh *splice.Shard) {
			c := sh.Counters()
			sum.Add(&c)
			if s.Edge != nil {
				e := s.Edge(i)
				edge.add(&e)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	out := countersOf(&sum, &edge)
	out.Version = s.Version
	out.UptimeSeconds = time.Since(s.Started).Seconds()
	out.Shards = len(s.Shards)
	out.Goroutines = runtime.NumGoroutine()
	if s.Queues != nil {
		out.Queues = append(out.Queues, s.Queues()...)
	}
	if s.Rules != nil {
		for _, r := range s.Rules().Rules() {
			out.Rules = append(out.Rules, RuleCount{Name: r.Name, Action: r.Action.String(), Reached: r.Reached(), Taken: r.Taken()})
		}
	}
	if s.Tracer != nil {
		out.Traces = s.Tracer.Taps()
	}
	if s.Lost != nil {
		out.TraceLost, out.EndsNotLogged = s.Lost()
	}
	return out, nil
}
