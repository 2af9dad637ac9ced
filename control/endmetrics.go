package control

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

var (
	descEnds = desc("connection_ends_total", "Connections that are over, by who closed first (client, server, tcpmitm) and by cause: FIN, RST, timeout, rule, refused, unreachable, shutdown or operator.", "first", "cause")
	descRTT  = desc("rtt_seconds", "Smoothed round-trip time of a leg at its connection's end.", "leg")
)

func (c *collector) collectEnds(out chan<- prometheus.Metric, e *splice.Ends) {
	for who := range e.By {
		for how, n := range e.By[who] {
			out <- prometheus.MustNewConstMetric(descEnds, prometheus.CounterValue, float64(n), splice.EnderNames[who], trace.HowName(splice.How(how)))
		}
	}
	for l := range e.RTT {
		out <- histogram(descRTT, &e.RTT[l], endpoint.Leg(l).String())
	}
}

// histogram says what a histogram has counted the way Prometheus wants it:
// each bucket has all smaller ones in it.
func histogram(d *prometheus.Desc, h *splice.Histogram, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(splice.RTTBounds))
	sum := uint64(0)
	for i, bound := range splice.RTTBounds {
		sum += h.Buckets[i]
		buckets[bound.Seconds()] = sum
	}
	return prometheus.MustNewConstHistogram(d, h.Count(), time.Duration(h.Sum).Seconds(), buckets, labels...)
}
