package control

import "github.com/prometheus/client_golang/prometheus"

var (
	descSYNRecv = desc("syn_recv", "Handshakes in progress with clients: half_open (a state is kept) or unanswered (a SYN cookie that has not come back, or a SYN turned away, within the last half minute to minute).", "kind")
	descFlood   = desc("syn_flood", "1 while there is a SYN flood, else 0.")
	descFloods  = desc("syn_floods_total", "SYN floods since the start.")
	descSYNRate = desc("unanswered_syns_per_second", "SYNs that meet a limit of handshakes, less the cookies that come back, of late.")
)

// collectSYNs tells of handshakes in progress. Their sources are not told here:
// a flood would make as many time series as it likes; see GET /v1/synrecv.
func (c *collector) collectSYNs(out chan<- prometheus.Metric) {
	r, err := c.source.synRecv()
	if err != nil {
		return
	}
	flood := 0.0
	if r.Flood {
		flood = 1
	}
	out <- prometheus.MustNewConstMetric(descSYNRecv, prometheus.GaugeValue, float64(r.HalfOpen), "half_open")
	out <- prometheus.MustNewConstMetric(descSYNRecv, prometheus.GaugeValue, float64(r.Unanswered), "unanswered")
	out <- prometheus.MustNewConstMetric(descFlood, prometheus.GaugeValue, flood)
	out <- prometheus.MustNewConstMetric(descFloods, prometheus.CounterValue, float64(c.source.Floods.count()))
	out <- prometheus.MustNewConstMetric(descSYNRate, prometheus.GaugeValue, r.PerSecond)
}
