package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tcpmitm/nfq"
)

// Each counter that grows is told of once in a while, with all that it has
// grown by, and with the remedy; one that does not grow never.
func TestLossWatch(t *testing.T) {
	var out bytes.Buffer
	w := lossWatch{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Unix(1_000_000, 0)
	look := func(after time.Duration, queueFull, socketFull, unsent uint64) string {
		now = now.Add(after)
		out.Reset()
		w.look(now, []nfq.KernelQueue{{Number: 7, QueueFull: queueFull, SocketFull: socketFull}}, unsent)
		return out.String()
	}
	if s := look(0, 0, 0, 0); s != "" {
		t.Errorf("nothing was lost, and yet: %s", s)
	}
	s := look(time.Second, 5, 0, 0)
	if strings.Count(s, "\n") != 1 || !strings.Contains(s, "NFQUEUE 7 was full") || !strings.Contains(s, "packets=5 since_start=5") || !strings.Contains(s, "more queues") {
		t.Errorf("a full queue: %s", s)
	}
	if s := look(time.Second, 9, 3, 0); strings.Count(s, "\n") != 1 || !strings.Contains(s, "socket buffer of NFQUEUE 7") || !strings.Contains(s, "packets=3") {
		t.Errorf("another kind of loss is said at once, the first not again: %s", s)
	}
	if s := look(sayEvery, 12, 3, 1); strings.Count(s, "\n") != 2 || !strings.Contains(s, "packets=7 since_start=12") || !strings.Contains(s, "TUN devices") {
		t.Errorf("what was not said before is in the next line: %s", s)
	}
	if s := look(sayEvery, 12, 3, 1); s != "" {
		t.Errorf("nothing has grown, and yet: %s", s)
	}
}
