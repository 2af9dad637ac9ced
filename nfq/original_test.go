package nfq

import (
	"net/netip"
	"testing"

	"tcpmitm/endpoint"
)

func TestOriginalsAreRecalledForTheSameSYNOnly(t *testing.T) {
	var o originals
	syn := &endpoint.Packet{Tuple: *tuple("10.0.0.1:4711", "192.0.2.1:8080"), Segment: endpoint.Segment{Seq: 5}}
	o.remember(1, syn)
	translated := &endpoint.Packet{Tuple: *tuple("10.0.0.1:4711", "10.9.0.1:80"), Segment: endpoint.Segment{Seq: 5}}
	if got := o.recall(2, translated); got != netip.MustParseAddrPort("192.0.2.1:8080") {
		t.Errorf("recalled %v, want 192.0.2.1:8080", got)
	}
	if got := o.recall(endpoint.Time(1).Add(2*originalLife), translated); got.IsValid() {
		t.Errorf("recalled %v long after", got)
	}
	for why, p := range map[string]*endpoint.Packet{
		"another ISN":    {Tuple: translated.Tuple, Segment: endpoint.Segment{Seq: 6}},
		"another port":   {Tuple: *tuple("10.0.0.1:4712", "10.9.0.1:80"), Segment: endpoint.Segment{Seq: 5}},
		"another client": {Tuple: *tuple("10.0.0.2:4711", "10.9.0.1:80"), Segment: endpoint.Segment{Seq: 5}},
	} {
		if got := o.recall(2, p); got.IsValid() {
			t.Errorf("%s: recalled %v", why, got)
		}
	}
}
