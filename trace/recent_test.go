package trace

import (
	"testing"

	"tcpmitm/splice"
)

func TestRecentEnds(t *testing.T) {
	tr := New(Options{Epoch: epoch})
	defer tr.Close()
	if list, n := tr.Ended(0, nil); len(list) != 0 || n != 0 {
		t.Errorf("before any end: %v, %d", list, n)
	}
	_, end := sample()
	for i := range uint64(5) {
		end.Conn = i + 1
		tr.Closed(&end)
	}
	list, n := tr.Ended(0, nil)
	if n != 5 || len(list) != 5 || list[0].Conn != 1 || list[4].Conn != 5 || list[0].Verdict == nil {
		t.Fatalf("%d ends of %d: %+v", len(list), n, list)
	}
	if list, n = tr.Ended(3, nil); n != 5 || len(list) != 2 || list[0].Conn != 4 {
		t.Errorf("after the third: %d of %d", len(list), n)
	}
	f, err := ParseFilter("conn 2")
	if err != nil {
		t.Fatal(err)
	}
	if list, n = tr.Ended(0, f); n != 5 || len(list) != 1 || list[0].Conn != 2 {
		t.Errorf("with a filter: %d of %d", len(list), n)
	}
	// The oldest are forgotten, and counted all the same.
	for range MaxRecent {
		end.Conn++
		tr.Closed(&end)
	}
	if list, n = tr.Ended(0, nil); n != 5+MaxRecent || len(list) != MaxRecent || list[0].Conn != 6 {
		t.Errorf("%d ends of %d, the first of connection %d", len(list), n, list[0].Conn)
	}
	if list, n = tr.Ended(n, nil); n != 5+MaxRecent || len(list) != 0 {
		t.Errorf("nothing new: %d of %d", len(list), n)
	}
}

// One end that is counted and not stored yet holds back those after it, so
// that none is passed over.
func TestRecentEndUnderWay(t *testing.T) {
	tr := New(Options{Epoch: epoch})
	defer tr.Close()
	_, end := sample()
	tr.Closed(&end)
	tr.recent.ended.Add(1) // another shard, just now
	tr.recent.add(&splice.Summary{Conn: 3})
	if list, n := tr.Ended(0, nil); n != 1 || len(list) != 1 {
		t.Errorf("%d ends of %d are told, want 1 of 1", len(list), n)
	}
	tr.recent.ring[2].Store(&ended{2, splice.Summary{Conn: 2}})
	if list, n := tr.Ended(1, nil); n != 3 || len(list) != 2 || list[0].Conn != 2 || list[1].Conn != 3 {
		t.Errorf("%d ends of %d", len(list), n)
	}
}
