package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tcpmitm/splice"
	"tcpmitm/trace"
)

// maxSnap is how many octets of one segment a reader can ask for.
const maxSnap = 65535

// watchers counts who reads something that shards tell only while somebody
// reads it.
type watchers struct {
	mu sync.Mutex
	n  int
}

// begin adds a reader, until the returned function is called. tell makes the
// shards tell, or no more.
func (w *watchers) begin(tell func(on bool) error) (stop func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n == 0 {
		if err := tell(true); err != nil {
			// Those that were reached would tell nobody.
			_ = tell(false)
			return nil, err
		}
	}
	w.n++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.n--; w.n == 0 {
			_ = tell(false) // a shard that has stopped tells nothing anyway
		}
	}, nil
}

// watch makes the shards tell of segments until the returned function is
// called.
func (s *Source) watch() (stop func(), err error) { return s.watchers.begin(s.tell) }

// busyPause is how long a shard with too many questions is left alone.
const busyPause = time.Millisecond

// maxAsked bounds how often such a shard is asked again.
const maxAsked = 1000

// tell says to all shards whether somebody reads segments.
func (s *Source) tell(on bool) error {
	if s.Tracer.Draws() {
		return nil // the run's own ladder wants all segments, always
	}
	return s.everyShard(func(sh *splice.Shard) { sh.Watch(on) })
}

// everyShard has a function run on the goroutine of each shard.
func (s *Source) everyShard(do func(*splice.Shard)) error {
	var errs []error
	for _, shard := range s.Shards {
		errs = append(errs, ask(shard, do))
	}
	return errors.Join(errs...)
}

// ask has a function run on the goroutine of a shard, and has patience with
// one that has too many questions.
func ask(shard *splice.Shard, do func(*splice.Shard)) error {
	err := splice.ErrBusy
	for n := 0; n < maxAsked && errors.Is(err, splice.ErrBusy); n++ {
		if n > 0 {
			time.Sleep(busyPause)
		}
		err = shard.Do(do)
	}
	return err
}

// serveEvents answers GET /v1/events: one JSON object a line, without end.
func (s *Source) serveEvents(w http.ResponseWriter, r *http.Request, quit <-chan struct{}) {
	filter, snap, err := wanted(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if s.Tracer == nil {
		fail(w, http.StatusServiceUnavailable, errors.New("this run has no events"))
		return
	}
	stop, err := s.watch()
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	defer stop()
	tap, err := s.Tracer.Subscribe(filter, snap)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	defer tap.Close()
	stream(w, r, tap, quit)
}

// wanted reads ?filter= and ?snap=.
func wanted(r *http.Request) (*trace.Filter, int, error) {
	filter, err := trace.ParseFilter(r.URL.Query().Get("filter"))
	if err != nil {
		return nil, 0, err
	}
	snap, err := snapOf(r)
	return filter, snap, err
}

// snapOf reads ?snap=.
func snapOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("snap")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxSnap {
		return 0, fmt.Errorf("snap must be a number of octets from 0 to %d", maxSnap)
	}
	return n, nil
}

// stream writes events until the reader hangs up, the tracer ends, or quit is
// closed. A reader may stand still for as long as it likes (Ctrl-Z): it loses
// events, and nobody waits for it.
func stream(w http.ResponseWriter, r *http.Request, tap *trace.Tap, quit <-chan struct{}) {
	c := http.NewResponseController(w)
	// The limits are for questions with an end.
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	if c.Flush() != nil {
		return
	}
	ctx, cancel := contextUntil(r.Context(), quit)
	defer cancel()
	enc := json.NewEncoder(w)
	for {
		e, err := tap.Next(ctx)
		if err != nil {
			return
		}
		if enc.Encode(e) != nil {
			return
		}
		if !tap.Waiting() && c.Flush() != nil {
			return
		}
	}
}
