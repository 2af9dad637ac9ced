package trace

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

// epoch is the wall clock's reading at time 0 of all tests.
var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func told(e *splice.SegmentEvent) *Event { return (&scribe{epoch}).segment(e) }
func toldEnd(s *splice.Summary) *Event   { return (&scribe{epoch}).closed(s) }

// story is the sample as a tap tells it, with more faults: a lost segment and
// its repair, and the decision to hold the FIN back.
func story() []*Event {
	w := &scribe{epoch}
	segments, end := sample()
	var out []*Event
	for i := range segments {
		e := &segments[i]
		fault := splice.FaultEvent{
			At: e.At, Conn: e.Conn, Client: e.Client, Server: e.Server, Rule: e.Rule, Leg: e.Leg, Out: e.Out,
			HasSegment: true, Seq: e.Seq, Ack: e.Ack, ISS: e.ISS, IRS: e.IRS, Flags: e.Flags, Window: e.Window, Len: e.Len,
		}
		switch i {
		case 7: // the request to the server is lost first
			lost := fault
			lost.At, lost.Fault, lost.Do, lost.Text = e.At-3000, 1, rules.Lose, "server data drop nth 1"
			out = append(out, w.fault(&lost))
			for j := i; j < len(segments); j++ {
				segments[j].At = segments[j].At.Add(200 * time.Millisecond)
			}
			e.Again = true
			end.Duration += 200 * time.Millisecond
		case 13: // the FIN to the client
			held := fault
			held.At, held.Do, held.By, held.Text = segments[i-1].At.Add(10*time.Microsecond), rules.Delay, time.Second, "client fin delay by 1s"
			out = append(out, w.fault(&held))
		}
		out = append(out, w.segment(e))
	}
	end.Fired = []splice.Fired{{Index: 1, Text: "server data drop nth 1", Count: 1}, {Text: "client fin delay by 1s", Count: 1}}
	return append(out, w.closed(&end))
}

// sampleLegs are the verdicts on the sample's legs.
func sampleLegs() [2]splice.LegVerdict {
	const ms, us = time.Millisecond, time.Microsecond
	return [2]splice.LegVerdict{
		{
			State: endpoint.TimeWait, Code: splice.InOrder, SYNToSYNACK: 415 * us, Handshake: 705 * us, FirstByte: 745 * us,
			FINToACK: 400 * us, HalfClosed: 400 * us, SRTT: 290 * us, MinRTT: 250 * us, PeerRetransmits: 1,
			WindowIn: splice.Span{Min: 64240, Max: 64256, Seen: true}, SegmentsIn: 7, SegmentsOut: 4, OctetsIn: 78, OctetsOut: 65160, MSS: 1460,
		},
		{
			State: endpoint.LastAck, Code: splice.InOrder, SYNToSYNACK: 310 * us, Handshake: 310 * us, FirstByte: 201575 * us,
			FINToACK: 300 * us, HalfClosed: 1000415 * us, SRTT: 305 * us, MinRTT: 300 * us, Retransmits: 1, RTO: 200 * ms,
			WindowIn: splice.Span{Min: 64240, Max: 64256, Seen: true}, SegmentsIn: 4, SegmentsOut: 5, OctetsIn: 65160, OctetsOut: 78, MSS: 1460,
		},
	}
}
