package endpoint

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSegmentIn is an endpoint that is handed a segment with data, of
// some size, is read from, and acknowledges.
func BenchmarkSegmentIn(b *testing.B) {
	for _, size := range []int{1, 1448, 65160} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := newSteady(b)
			in := dataFor(s, size)
			defer in.Buffer.Release()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s.now = s.now.Add(20 * time.Microsecond)
				s.b.HandleSegment(s.now, &in)
				in.Seq = in.Seq.Plus(size)
				for {
					c, ok := s.b.Read(s.now, 1<<20)
					if !ok {
						break
					}
					c.Release()
				}
				for s.b.PollSegment(s.now, &s.seg) {
				}
				s.b.TakeEvents()
			}
			if i := s.b.Info(); i.RcvNxt != in.Seq {
				b.Errorf("received up to %d, sent up to %d", i.RcvNxt, in.Seq)
			}
		})
	}
}

// dataFor is a segment that the peer of s.b would send next.
func dataFor(s *steady, size int) Segment {
	s.a.Write(s.now, NewChunk([]byte{0}, nil))
	s.a.PollSegment(s.now, &s.seg)
	in := s.seg
	in.Pieces = nil
	in.Buffer = s.pool.Get(SlabSize)
	in.Payload = in.Buffer.Bytes()[:size]
	return in
}

// BenchmarkSegmentOut is an endpoint that is given data, sends it, and hears
// the acknowledgement.
func BenchmarkSegmentOut(b *testing.B) {
	for _, size := range []int{1, 1448, 65160} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := newSteady(b)
			for range 20 {
				s.transfer(60000) // opens the congestion window
			}
			data := s.pool.Get(size)
			ack := Segment{}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s.now = s.now.Add(20 * time.Microsecond)
				s.a.Write(s.now, NewChunk(data.Bytes()[:size], data))
				for s.a.PollSegment(s.now, &s.seg) {
					ack = Segment{Seq: s.seg.Ack, Ack: s.seg.Seq.Plus(s.seg.PayloadLen()), Flags: ACK, Window: 65535,
						Options: Options{Has: s.seg.Options.Has & HasTimestamps, TSVal: s.seg.Options.TSEcr, TSEcr: s.seg.Options.TSVal}}
				}
				s.a.HandleSegment(s.now, &ack)
				s.a.TakeEvents()
			}
			if i := s.a.Info(); i.Unsent+i.Unacked > 0 {
				b.Errorf("%d octets are not sent, %d not acknowledged", i.Unsent, i.Unacked)
			}
			data.Release()
		})
	}
}
