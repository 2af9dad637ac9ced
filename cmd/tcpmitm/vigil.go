package main

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tcpmitm/nfq"
	"tcpmitm/splice"
)

const (
	// lookEvery is how often the kernel's counters are looked at.
	lookEvery = time.Second
	// sayEvery is how often the log tells of one kind of loss, at most.
	sayEvery = 10 * time.Second
)

// keepWatch looks after what nobody else does while we run: it notes in the
// ledger that we are alive, and says in the log when packets get lost at the
// edge.
func (g *gateway) keepWatch() {
	over := make(chan struct{})
	var kept sync.WaitGroup
	kept.Go(func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		losses := lossWatch{log: g.log}
		for {
			select {
			case <-over:
				return
			case now := <-look.C:
				if g.ledger != nil {
					g.ledger.Alive()
				}
				losses.look(now, g.firewall.KernelQueues(), g.unsent())
			}
		}
	})
	g.later(func() error {
		close(over)
		kept.Wait()
		return nil
	})
}

// unsent is how many packets the TUN devices have not taken.
func (g *gateway) unsent() (n uint64) {
	for i, s := range g.shards {
		// One that is too busy to answer is asked again in a moment.
		_ = s.Do(func(*splice.Shard) { n += g.ports[i].Counters().Send.Lost })
	}
	return n
}

// loss is one way in which packets get lost at the edge.
type loss struct {
	what, remedy string
	count        uint64    // as it was when it was last said
	said         time.Time // when that was
	known        bool
}

// lossWatch says in the log which of them has grown, and what can be done.
type lossWatch struct {
	log    *slog.Logger
	losses map[string]*loss
}

// look compares the counters with what they were.
func (w *lossWatch) look(now time.Time, queues []nfq.KernelQueue, unsent uint64) {
	for _, q := range queues {
		w.grown(now, fmt.Sprintf("NFQUEUE %d was full", q.Number), q.QueueFull,
			"packets came faster than they were judged: give tcpmitm more of the processor or more queues, or take less ([intercept] ports, servers, clients)")
		w.grown(now, fmt.Sprintf("the socket buffer of NFQUEUE %d was full", q.Number), q.SocketFull,
			"tcpmitm did not run for a while: look for what keeps the processor busy, or takes it away (cgroup cpu.max); more queues help, too")
	}
	w.grown(now, "the TUN devices were congested", unsent,
		"the host could not forward what tcpmitm sent: look at the host's softnet backlog (net.core.netdev_max_backlog) and memory")
}

// grown tells of one counter. TCP repairs what is lost, so it is a warning.
func (w *lossWatch) grown(now time.Time, what string, count uint64, remedy string) {
	if w.losses == nil {
		w.losses = make(map[string]*loss)
	}
	l := w.losses[what]
	if l == nil {
		l = &loss{}
		w.losses[what] = l
	}
	if count <= l.count || l.known && now.Sub(l.said) < sayEvery {
		return
	}
	w.log.Warn("packets were lost: "+what, "packets", count-l.count, "since_start", count, "remedy", remedy)
	l.count, l.said, l.known = count, now, true
}
