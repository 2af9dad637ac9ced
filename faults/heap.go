package faults

// What a stage holds is a heap: whatever is due first is at its root, and of
// those due at once the one that was held first.

func (s *Stage) before(i, j int) bool {
	a, b := s.held[i], s.held[j]
	if a.due != b.due {
		return a.due < b.due
	}
	return a.serial < b.serial
}

// up moves the i-th towards the root, as far as it belongs.
func (s *Stage) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(i, parent) {
			return
		}
		s.held[i], s.held[parent] = s.held[parent], s.held[i]
		i = parent
	}
}

// down moves the i-th away from the root, as far as it belongs.
func (s *Stage) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.held) {
			return
		}
		if child+1 < len(s.held) && s.before(child+1, child) {
			child++
		}
		if !s.before(child, i) {
			return
		}
		s.held[i], s.held[child] = s.held[child], s.held[i]
		i = child
	}
}

// heapify restores the order after many have changed.
func (s *Stage) heapify() {
	for i := len(s.held)/2 - 1; i >= 0; i-- {
		s.down(i)
	}
}
