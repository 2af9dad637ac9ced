package splice

// Reconsider gives a turn to each connection whose rule has been stopped, so
// that what the rule holds back goes on now and not with the next segment.
func (s *Shard) Reconsider() {
	for f := s.live.first; f != nil; f = f.next {
		if f.by != nil && f.by.Stopped() {
			s.markDirty(f)
		}
	}
}
