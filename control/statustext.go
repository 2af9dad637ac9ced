package control

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteText prints a status for people.
func (s *Status) WriteText(out io.Writer) error {
	health := "healthy"
	if !s.Healthy {
		health = "not healthy"
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "tcpmitm %s\tprocess %d, %s mode, %s for %s: %s\n", s.Version, s.PID, s.Mode, s.State, age(s.UptimeSeconds), health)
	for _, l := range s.Limits {
		limit := "no limit"
		used := fmt.Sprint(l.Used)
		if l.Name == "memory" {
			used = octets(uint64(l.Used))
		}
		switch {
		case l.Limit > 0 && l.Name == "memory":
			limit = "of at most " + octets(uint64(l.Limit))
		case l.Limit > 0:
			limit = fmt.Sprintf("of at most %d", l.Limit)
		}
		fmt.Fprintf(w, "%s\t%s %s\n", l.Name, used, limit)
	}
	fmt.Fprintf(w, "rules\t%d\n", s.Rules)
	for _, q := range s.Queues {
		fmt.Fprintf(w, "queue %d\t%d packets wait; lost %d in a full queue, %d in a full socket buffer\n", q.Number, q.Waiting, q.QueueFull, q.SocketFull)
	}
	for i := range s.Shards {
		sh := &s.Shards[i]
		if !sh.Answered {
			fmt.Fprintf(w, "shard %d\tdoes not answer\n", sh.Index)
			continue
		}
		fmt.Fprintf(w, "shard %d\t%d connections, %d half-open, %d in TIME-WAIT, %s of buffers, answers in %.1f ms\n",
			sh.Index, sh.Connections, sh.HalfOpen, sh.Lingering, octets(uint64(sh.BufferOctets)), sh.AnswerMillis)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(w, "problem\t%s\n", p)
	}
	return w.Flush()
}
