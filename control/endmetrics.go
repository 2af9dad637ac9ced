package control

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

// These are counted when a connection is over, so that they cost nothing on
// the way of a segment: what a long connection does shows when it ends.
var (
	descEnds        = desc("connection_ends_total", "Connections that are over, by who closed first (client, server, tcpmitm) and by cause: FIN, RST, timeout, rule, refused, unreachable, shutdown or operator.", "first", "cause")
	descHandshakes  = desc("handshakes_total", "Handshakes that were completed, of connections that are over.", "leg")
	descRetransmits = desc("retransmissions_total", "Segments sent again, of connections that are over: by tcpmitm, or by the peer of the leg.", "leg", "by")
	descTimeouts    = desc("retransmission_timeouts_total", "Retransmission timers that ran out, of connections that are over.", "leg")
	descRecoveries  = desc("fast_recoveries_total", "Losses repaired without a time-out, of connections that are over.", "leg")
	descRTT         = desc("rtt_seconds", "Smoothed round-trip time of a leg at its connection's end.", "leg")
	descHandshake   = desc("handshake_seconds", "Time from SYN to established, of connections that are over.", "leg")
)

func (c *collector) collectEnds(out chan<- prometheus.Metric, e *splice.Ends) {
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for who := range e.By {
		for how, n := range e.By[who] {
			count(descEnds, n, splice.EnderNames[who], trace.HowName(splice.How(how)))
		}
	}
	for i := range e.Legs {
		l, leg := &e.Legs[i], endpoint.Leg(i).String()
		count(descHandshakes, l.Handshakes, leg)
		count(descRetransmits, l.Retransmits, leg, "tcpmitm")
		count(descRetransmits, l.PeerRetransmits, leg, "peer")
		count(descTimeouts, l.Timeouts, leg)
		count(descRecoveries, l.FastRecoveries, leg)
		out <- histogram(descRTT, &l.RTT, leg)
		out <- histogram(descHandshake, &l.Handshake, leg)
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
