package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

var (
	descHandshakes  = desc("handshakes_total", "Handshakes that were completed.", "leg")
	descRetransmits = desc("retransmissions_total", "Segments sent again, by tcpmitm or by the peer of the leg.", "leg", "by")
	descTimeouts    = desc("retransmission_timeouts_total", "Retransmission timers that ran out.", "leg")
	descRecoveries  = desc("fast_recoveries_total", "Losses repaired without a time-out.", "leg")
	descHandshake   = desc("handshake_seconds", "Time from SYN to established.", "leg")
)

func (c *collector) collectLegs(out chan<- prometheus.Metric, legs *[2]splice.LegCounters) {
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i := range legs {
		l, leg := &legs[i], endpoint.Leg(i).String()
		count(descHandshakes, l.Handshakes, leg)
		count(descRetransmits, l.Retransmits, leg, "tcpmitm")
		count(descRetransmits, l.PeerRetransmits, leg, "peer")
		count(descTimeouts, l.Timeouts, leg)
		count(descRecoveries, l.FastRecoveries, leg)
		out <- histogram(descHandshake, &l.Handshake, leg)
	}
}
