package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tcpmitm/endpoint"
)

// ListenMetrics opens the address of the metrics.
func ListenMetrics(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the metrics cannot be served on %s: choose another address with metrics in [control]: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("the metrics cannot be served on %s: %w", address, err)
	}
	return l, nil
}

// ServeMetrics answers GET /metrics in Prometheus's text format until Close.
func ServeMetrics(l net.Listener, source *Source) *Server {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{source}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxClients, Timeout: writeLimit}))
	return serve(l, mux)
}

// collector turns one snapshot of all shards into metrics, so that the
// numbers of one scrape belong together.
type collector struct{ source *Source }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tcpmitm_"+name, help, labels, nil)
}

var (
	descInfo        = desc("build_info", "1, with the program's version.", "version")
	descConnections = desc("connections", "Connections there are, by phase: half_open, open or lingering (over but for TIME-WAIT).", "phase")
	descLegs        = desc("legs", "Legs of connections by state, as ss(8) names it, those in TIME-WAIT included; LISTEN is a SYN that is held, UNCONN a leg without an endpoint.", "leg", "state")
	descBuffers     = desc("buffer_bytes", "Octets in buffers.")
	descTimers      = desc("timers", "Connections with an armed timer.")
	descHeld        = desc("held_segments", "Segments that a rule holds back on arrival.")
	descOpened      = desc("connections_opened_total", "Connections that were spliced.")
	descClosed      = desc("connections_closed_total", "Spliced connections that ended.")
	descRefused     = desc("connections_refused_total", "Spliced connections that the server refused.")
	descKilled      = desc("connections_killed_total", "Spliced connections that an operator ended.")
	descUnspliced   = desc("unspliced_syns_total", "SYNs that were not spliced, by what became of them: pass, reset or drop.", "action")
	descCookies     = desc("syn_cookies_total", "SYN cookies, by what became of them: sent or accepted.", "event")
	descOctets      = desc("bytes_total", "Octets handed on, by the leg they left on.", "leg")
	descSegments    = desc("segments_total", "TCP segments, by leg and direction; a super-segment is one.", "leg", "direction")
	descDrops       = desc("drops_total", "Packets and segments that changed nothing, by reason.", "reason")
	descQueue       = desc("queue_packets_total", "Packets from NFQUEUE, by what became of them: accepted, taken, or overrun (lost in a full socket buffer).", "verdict")
	descDepth       = desc("queue_depth", "Packets in NFQUEUE that wait for a verdict, as the kernel counts.", "queue")
	descKernelDrops = desc("queue_kernel_drops_total", "Packets that NFQUEUE could not bring, as the kernel counts: queue_full or socket_full.", "queue", "cause")
	descSent        = desc("sent_packets_total", "Packets given to the kernel, by what became of them: sent or lost.", "event")
	descSendErrors  = desc("send_errors_total", "Segments that could not be given to the kernel.")
	descForeign     = desc("foreign_packets_total", "Packets that came to another shard than their connection's.")
	descRule        = desc("rule_connections_total", "Connections by rule: reached (addresses and ports matched) and taken (the rule decided).", "rule", "action", "event")
	descFired       = desc("rule_fired_total", "How often each fault and each stream policy of a rule has acted; number is its place in the rule, from 1.", "rule", "kind", "number", "what")
	descTraceLost   = desc("trace_lost_total", "What the trace could not show, by kind: segments or ends.", "kind")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector. While the shards cannot be asked,
// at the very end of a run, there is nothing to say.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	n, err := c.source.counters()
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descInfo, 1, n.Version)
	gauge(descConnections, float64(n.HalfOpen), "half_open")
	gauge(descConnections, float64(n.Connections-n.HalfOpen), "open")
	gauge(descConnections, float64(n.Lingering), "lingering")
	for l := range n.states {
		for st, legs := range n.states[l] {
			gauge(descLegs, float64(legs), endpoint.Leg(l).String(), endpoint.State(st).SS())
		}
	}
	gauge(descBuffers, float64(n.BufferOctets))
	gauge(descTimers, float64(n.Timers))
	gauge(descHeld, float64(n.Held))
	count(descOpened, n.Opened)
	count(descClosed, n.Closed)
	count(descRefused, n.Refused)
	count(descKilled, n.Killed)
	count(descUnspliced, n.Passed, "pass")
	count(descUnspliced, n.Reset, "reset")
	count(descUnspliced, n.Dropped, "drop")
	count(descCookies, n.CookiesSent, "sent")
	count(descCookies, n.CookiesAccepted, "accepted")
	for leg, l := range map[string]LegCount{"client": n.ToClient, "server": n.ToServer} {
		count(descOctets, l.Octets, leg)
		count(descSegments, l.SegmentsIn, leg, "in")
		count(descSegments, l.SegmentsOut, leg, "out")
	}
	for reason, v := range n.Drops {
		count(descDrops, v, reason)
	}
	count(descQueue, n.Edge.Accepted, "accepted")
	count(descQueue, n.Edge.Taken, "taken")
	count(descQueue, n.Edge.Overruns, "overrun")
	count(descSent, n.Edge.PacketsOut, "sent")
	count(descSent, n.Edge.LostOut, "lost")
	count(descSendErrors, n.SendErrors)
	count(descForeign, n.BetweenShards)
	c.collectLegs(out, &n.legs)
	c.collectEnds(out, &n.ends)
	c.collectSYNs(out)
	for _, q := range n.Queues {
		number := strconv.Itoa(q.Number)
		gauge(descDepth, float64(q.Waiting), number)
		count(descKernelDrops, q.QueueFull, number, "queue_full")
		count(descKernelDrops, q.SocketFull, number, "socket_full")
	}
	for _, r := range n.Rules {
		count(descRule, r.Reached, r.Name, r.Action, "reached")
		count(descRule, r.Taken, r.Name, r.Action, "taken")
	}
	if c.source.Rules != nil {
		for _, r := range c.source.Rules().Rules() {
			for _, f := range eachOf(r) {
				kind := "fault"
				if f.Stream {
					kind = "stream"
				}
				count(descFired, f.Count, r.Name, kind, strconv.Itoa(f.Index+1), f.Text)
			}
		}
	}
	count(descTraceLost, n.TraceLost, "segments")
	count(descTraceLost, n.EndsNotLogged, "ends")
}
