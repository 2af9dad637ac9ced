package control

import (
	"log/slog"
	"sync"
	"time"

	"tcpmitm/splice"
)

// When SYNs are a flood.
const (
	// floodRate is from how many SYNs a second on that meet a limit of
	// handshakes and are not answered; honest clients answer their cookies.
	floodRate = 100
	floodLook = time.Second      // how often is looked
	floodCalm = 10 * time.Second // below the rate for so long, it is over
	floodTell = time.Minute      // between two lines while it lasts
)

// FloodWatch tells in the log when a SYN flood begins, how it goes on and when
// it is over. It looks at two counters once a second; the shards are asked
// only for a line.
type FloodWatch struct {
	syns func() (met, came uint64)
	ask  func() (*SYNRecv, error)
	log  *slog.Logger
	quit chan struct{}
	done chan struct{}

	mu            sync.Mutex
	on            bool
	began, told   time.Time
	busy          time.Time // when the rate was last that of a flood
	looked        time.Time
	met, came     uint64 // at the last look
	met0, came0   uint64 // when it began
	rate, highest float64
	floods        uint64
}

// WatchFloods watches until Close. It belongs to the source, which tells of it.
func WatchFloods(source *Source, budget *splice.Budget, log *slog.Logger) *FloodWatch {
	w := &FloodWatch{syns: budget.SYNs, ask: source.synRecv, log: log, quit: make(chan struct{}), done: make(chan struct{})}
	w.looked = time.Now()
	source.Floods = w
	go w.run()
	return w
}

func (w *FloodWatch) run() {
	defer close(w.done)
	tick := time.NewTicker(floodLook)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			return
		case now := <-tick.C:
			w.look(now)
		}
	}
}

// Close stops watching.
func (w *FloodWatch) Close() error {
	close(w.quit)
	<-w.done
	return nil
}

// look reads the counters and says what is new.
func (w *FloodWatch) look(now time.Time) {
	w.mu.Lock()
	met, came := w.syns()
	// A cookie may come back in a later second than it went.
	w.rate = max(0, (float64(met-w.met)-float64(came-w.came))/max(now.Sub(w.looked), floodLook/10).Seconds())
	busy := w.rate >= floodRate
	begins := busy && !w.on
	if begins {
		w.on, w.began, w.met0, w.came0, w.highest = true, now, w.met, w.came, 0
		w.floods++
	}
	w.looked, w.met, w.came = now, met, came
	if busy {
		w.busy, w.highest = now, max(w.highest, w.rate)
	}
	over := w.on && now.Sub(w.busy) >= floodCalm
	lasts := w.on && !begins && !over && now.Sub(w.told) >= floodTell
	if over {
		w.on = false
	}
	if begins || lasts || over {
		w.told = now
	}
	lasted := w.busy.Sub(w.began).Round(time.Second)
	syns, answered, highest := met-w.met0, came-w.came0, w.highest
	w.mu.Unlock()

	switch {
	case over:
		w.log.Info("the SYN flood is over", "lasted", lasted, "syns", syns, "answered", answered, "highest_per_second", int(highest))
	case begins:
		w.line("SYN flood")
	case lasts:
		w.line("the SYN flood goes on", "for", now.Sub(w.began).Round(time.Second))
	}
}

// line says where the SYNs come from.
func (w *FloodWatch) line(what string, more ...any) {
	r, err := w.ask()
	if err != nil {
		// The shards have more to do than to be asked, which says it too.
		w.log.Warn(what, more...)
		return
	}
	w.log.Warn(what, append(more, "syn_recv", r.Total, "half_open", r.HalfOpen, "unanswered_per_second", int(r.PerSecond),
		"nets", r.NetsSeen, "by_source", r.top())...)
}

// tell adds what is known of a flood; a nil watch knows nothing.
func (w *FloodWatch) tell(r *SYNRecv) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Flood, r.PerSecond = w.on, w.rate
	if w.on {
		r.FloodSeconds = time.Since(w.began).Seconds()
	}
}

// count is how many floods there were.
func (w *FloodWatch) count() uint64 {
	if w == nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.floods
}
