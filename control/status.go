package control

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tcpmitm/splice"
)

// shardPatience is how long a shard may take to answer before it counts as
// stuck.
const shardPatience = time.Second

// Limits are those of the configuration, in its words.
type Limits struct {
	Connections, HalfOpen int64
	Memory                int64  // octets
	OverLimit             string // what becomes of new connections then
	Cookies               bool   // what comes beyond HalfOpen is answered with SYN cookies
}

// Status answers GET /v1/status: how the program is, in a few lines.
type Status struct {
	Version       string        `json:"version"`
	PID           int           `json:"pid"`
	Started       time.Time     `json:"started"`
	UptimeSeconds float64       `json:"uptime_seconds"`
	Mode          string        `json:"mode"`     // gateway or local
	State         string        `json:"state"`    // running, or stopping: new connections pass
	Healthy       bool          `json:"healthy"`  // there are no problems
	Problems      []string      `json:"problems"` // what is wrong at present, and what to do about it
	Limits        []LimitStatus `json:"limits"`
	Rules         int           `json:"rules"`
	Shards        []ShardStatus `json:"shards"`
	Queues        []Queue       `json:"queues"` // as the kernel counts
}

// LimitStatus is a limit and how much of it is used.
type LimitStatus struct {
	Name  string `json:"name"`  // connections, half_open or memory
	Used  int64  `json:"used"`  // now; of memory, octets
	Limit int64  `json:"limit"` // 0: there is none
}

// ShardStatus is one shard.
type ShardStatus struct {
	Index        int     `json:"index"`
	Answered     bool    `json:"answered"`  // within a second
	AnswerMillis float64 `json:"answer_ms"` // how long that took
	Connections  int     `json:"connections"`
	HalfOpen     int     `json:"half_open"`
	Lingering    int     `json:"lingering"` // over but for TIME-WAIT
	BufferOctets int64   `json:"buffer_octets"`
	draining     bool
	stopped      bool
}

// prober asks shards how they are. Of a shard that is stuck, one question at
// most is under way.
type prober struct {
	mu    sync.Mutex
	asked []atomic.Bool
}

// probe asks all shards at once, and waits for a moment.
func (p *prober) probe(shards []*splice.Shard) []ShardStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked == nil {
		p.asked = make([]atomic.Bool, len(shards))
	}
	out := make([]ShardStatus, len(shards))
	answers := make(chan ShardStatus, len(shards))
	waiting := 0
	for i, shard := range shards {
		out[i].Index = i
		if p.asked[i].Swap(true) {
			continue // it has not answered the one before
		}
		waiting++
		go func() {
			answers <- probe(i, shard)
			p.asked[i].Store(false)
		}()
	}
	for over := time.After(shardPatience); waiting > 0; waiting-- {
		select {
		case a := <-answers:
			out[a.Index] = a
		case <-over:
			return out
		}
	}
	return out
}

func probe(i int, shard *splice.Shard) ShardStatus {
	st := ShardStatus{Index: i}
	began := time.Now()
	err := ask(shard, func(sh *splice.Shard) {
		c := sh.Counters()
		st.Connections, st.HalfOpen, st.Lingering, st.BufferOctets = c.Flows, c.HalfOpen, c.Lingering, c.PoolInUse
		st.draining = sh.Draining()
	})
	st.Answered, st.stopped = err == nil, err == splice.ErrStopped
	st.AnswerMillis = float64(time.Since(began).Microseconds()) / 1000
	return st
}

// status looks at everything that a status tells of.
func (s *Source) status() *Status {
	out := &Status{
		Version: s.Version, PID: os.Getpid(), Started: s.Started.UTC(), UptimeSeconds: time.Since(s.Started).Seconds(),
		Mode: s.Mode, State: "running", Problems: []string{}, Shards: s.prober.probe(s.Shards), Queues: []Queue{},
	}
	connections := LimitStatus{Name: "connections", Limit: s.Limits.Connections}
	halfOpen := LimitStatus{Name: "half_open", Limit: s.Limits.HalfOpen}
	memory := LimitStatus{Name: "memory", Limit: s.Limits.Memory}
	for i := range out.Shards {
		st := &out.Shards[i]
		connections.Used += int64(st.Connections)
		halfOpen.Used += int64(st.HalfOpen)
		memory.Used += st.BufferOctets
		if st.draining || st.stopped {
			out.State = "stopping"
		}
	}
	out.Limits = []LimitStatus{connections, halfOpen, memory}
	if s.Queues != nil {
		out.Queues = append(out.Queues, s.Queues()...)
	}
	if s.Rules != nil {
		out.Rules = s.Rules().Len()
	}
	out.Problems = append(out.Problems, s.problems(out)...)
	out.Healthy = len(out.Problems) == 0
	return out
}

// problems says what is wrong.
func (s *Source) problems(st *Status) (list []string) {
	add := func(format string, a ...any) { list = append(list, fmt.Sprintf(format, a...)) }
	for i := range st.Shards {
		if sh := &st.Shards[i]; !sh.Answered && !sh.stopped {
			add("shard %d does not answer within %v: the host is overwhelmed, or the program hangs; look at the load, and restart it if that lasts", i, shardPatience)
		}
	}
	// None at all is that the kernel does not show them to us.
	if n := len(st.Queues); st.State == "running" && n > 0 && n < len(st.Shards) {
		add("the kernel knows of only %d of the %d queues: restart tcpmitm", n, len(st.Shards))
	}
	for _, l := range st.Limits {
		switch {
		case l.Limit == 0 || l.Used < l.Limit:
		case l.Name == "half_open" && s.Limits.Cookies:
			add("%d handshakes are in progress, which is half_open in [limits]: further clients get SYN cookies; is it a flood? `tcpmitm ss state SYN-RECV` shows who", l.Used)
		default:
			add("%d of %d %s are in use: for new connections over_limit holds (%s); raise %s in [limits], or end some with `tcpmitm kill`", l.Used, l.Limit, l.Name, s.Limits.OverLimit, l.Name)
		}
	}
	return list
}

func (s *Source) serveStatus(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, s.status())
}
