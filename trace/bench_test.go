package trace

import (
	"testing"

	"tcpmitm/splice"
)

// What a segment costs a shard: while nobody reads, it is not even told.
func BenchmarkSegment(b *testing.B) {
	for _, v := range []struct {
		name, filter string
		taps         int
	}{{"no tap", "", 0}, {"filtered out", "port 81", 1}, {"one tap", "", 1}, {"four taps", "port 80", 4}} {
		b.Run(v.name, func(b *testing.B) {
			tr := New(Options{})
			defer tr.Close()
			f, err := ParseFilter(v.filter)
			if err != nil {
				b.Fatal(err)
			}
			var taps []*Tap
			for range v.taps {
				p, err := tr.Subscribe(f, 0)
				if err != nil {
					b.Fatal(err)
				}
				taps = append(taps, p)
			}
			events, _ := sample()
			e := splice.SegmentEvent(events[0])
			b.ReportAllocs()
			for b.Loop() {
				tr.Segment(&e)
				for _, p := range taps {
					if p.Waiting() {
						<-p.records
					}
				}
			}
		})
	}
}
