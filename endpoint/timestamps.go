package endpoint

import "time"

// timestampsLen is what the option costs in every segment, padding included.
const timestampsLen = 12

// tsTick is the tick of our timestamp clock: 1 ms, the fast end of what
// RFC 7323, 5.4 allows.
const tsTick = time.Millisecond

// pawsIdle is how long TS.Recent stays good (RFC 7323, 5.5).
const pawsIdle = 24 * 24 * time.Hour

// timestamps is the state of the timestamps option (RFC 7323, 3 to 5).
type timestamps struct {
	on          bool
	recent      uint32 // TS.Recent
	recentAt    Time
	lastAckSent Seq // Last.ACK.sent
}

func tsClock(now Time, offset uint32) uint32 {
	return uint32(int64(now)/int64(tsTick)) + offset
}

func (t *timestamps) write(now Time, offset uint32, o *Options) {
	o.Has |= HasTimestamps
	o.TSVal = tsClock(now, offset)
	o.TSEcr = 0
	if t.on {
		o.TSEcr = t.recent
	}
}

// paws tells whether s is an old duplicate by its timestamp (RFC 7323, 5.3,
// R1). A RST is never judged by PAWS.
func (t *timestamps) paws(now Time, s *Segment) bool {
	return t.on && s.Options.Has&HasTimestamps != 0 && !s.Flags.Has(RST) &&
		int32(s.Options.TSVal-t.recent) < 0 && now.Sub(t.recentAt) < pawsIdle
}

// update moves TS.Recent (RFC 7323, 4.3, rule 2).
func (t *timestamps) update(now Time, s *Segment) {
	if t.on && s.Options.Has&HasTimestamps != 0 && s.Seq.AtMost(t.lastAckSent) &&
		(int32(s.Options.TSVal-t.recent) >= 0 || now.Sub(t.recentAt) >= pawsIdle) {
		t.recent, t.recentAt = s.Options.TSVal, now
	}
}
