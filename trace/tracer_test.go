package trace

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"tcpmitm/splice"
)

func TestEndIsLogged(t *testing.T) {
	var out bytes.Buffer
	tr := New(Options{Logger: slog.New(slog.NewJSONHandler(&out, nil))})
	events, end := sample()
	tr.Segment(&events[0])
	tr.Closed(&end)
	tr.Close()
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	for key, want := range map[string]any{
		"msg": "connection closed", "conn": 1.0, "client": "10.77.1.2:41712", "server": "10.77.2.2:80", "rule": "late goodbye",
		"bytes_to_server": 78.0, "bytes_to_client": 65160.0, "seconds": 1.00313, "closed_by": "server", "how": "FIN",
		"client_leg": "TIME-WAIT", "server_leg": "LAST-ACK",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

func TestEveryHowHasAName(t *testing.T) {
	for h := splice.ByFIN; h <= splice.ByOperator; h++ {
		if how(h) == "unknown" {
			t.Errorf("way %d of closing has no name", h)
		}
	}
	if how(99) != "unknown" {
		t.Error("way 99 has a name")
	}
}

// stuck is a writer that waits until it is let go.
type stuck struct {
	text    bytes.Buffer // not embedded, or its WriteString would be called
	entered chan struct{}
	once    sync.Once
	free    chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.free
	return s.text.Write(b)
}

// The log's line about an end comes after the whole ladder, where both go to
// one place.
func TestEndFollowsTheLadder(t *testing.T) {
	var out bytes.Buffer
	tr := New(Options{Ladder: &out, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	events, end := sample()
	for i := range events {
		tr.Segment(&events[i])
	}
	tr.Closed(&end)
	tr.Close()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if n := strings.Count(out.String(), "connection closed"); n != 1 {
		t.Errorf("the end is logged %d times", n)
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "connection closed") || !strings.HasPrefix(lines[len(lines)-4], "connection 1 is over") {
		t.Errorf("the last lines are\n%s", strings.Join(lines[len(lines)-4:], "\n"))
	}
}

// A writer that does not get on must not stop a shard, and what is lost is
// said.
func TestNeverBlocks(t *testing.T) {
	out := &stuck{entered: make(chan struct{}), free: make(chan struct{})}
	tr := New(Options{Ladder: out, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	events, end := sample()
	tr.Segment(&events[0])
	<-out.entered
	const more = 100
	for range maxSegments + more {
		tr.Segment(&events[0])
	}
	for range maxClosed + more {
		tr.Closed(&end)
	}
	segments, ends := tr.Lost()
	if segments != 2*more+maxClosed || ends != more {
		t.Errorf("lost %d segments and %d ends, want %d and %d", segments, ends, 2*more+maxClosed, more)
	}
	close(out.free)
	tr.Close()
	if !strings.Contains(out.text.String(), "events are not shown") {
		t.Error("the loss is not said")
	}
}

// Without a ladder, segments cost nothing.
func TestSegmentWithoutLadder(t *testing.T) {
	tr := New(Options{})
	defer tr.Close()
	events, _ := sample()
	if n := testing.AllocsPerRun(100, func() { tr.Segment(&events[0]) }); n != 0 {
		t.Errorf("Segment allocates %v times", n)
	}
}

// Ends that nobody reads of, at a log level above theirs, are not queued.
func TestEndsThatNobodyReadsOf(t *testing.T) {
	var out bytes.Buffer
	tr := New(Options{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	_, end := sample()
	for range maxClosed + 100 {
		tr.Closed(&end)
	}
	if _, ends := tr.Lost(); ends != 0 || len(tr.closed) != 0 {
		t.Errorf("%d ends were lost and %d wait, for a log that does not want them", ends, len(tr.closed))
	}
	tr.Close()
	if out.Len() > 0 {
		t.Errorf("the log says %q", out.String())
	}
}
