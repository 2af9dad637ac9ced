package control

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"tcpmitm/trace"
)

// newWatched is a gateway whose shards are watched by a tracer, and its socket.
func newWatched(t *testing.T) (*gateway, string) {
	t.Helper()
	tr := trace.New(trace.Options{Epoch: time.Now()})
	g := newObserved(t, 2, nil, tr)
	t.Cleanup(tr.Close)
	return g, startServer(t, g)
}

func wantType(t *testing.T, s *Stream, want string) *trace.Event {
	t.Helper()
	e, err := s.Next()
	if err != nil || e.Type != want {
		t.Fatalf("got %+v, %v; want a %s", e, err, want)
	}
	return e
}

func TestEvents(t *testing.T) {
	g, path := newWatched(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all, err := NewClient(path).Events(ctx, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	some, err := NewClient(path).Events(ctx, "server port 81", 100)
	if err != nil {
		t.Fatal(err)
	}
	// From then on nothing is missed, on no shard.
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.wantCount(t, 1)
	g.syn(1, "10.1.0.2:4001", "10.2.0.2:81")
	for range 2 {
		if e := wantType(t, all, trace.TypeSegment); e.Server.Port() != 80 {
			t.Errorf("the first connection's events: %+v", e)
		}
	}
	first := wantType(t, some, trace.TypeSegment)
	if !first.Begins() || first.Client.String() != "10.1.0.2:4001" || first.Segment.Header == nil {
		t.Errorf("got %+v %+v", first, first.Segment)
	}
	if n, err := NewClient(path).Counters(ctx); err != nil || n.Traces != 2 {
		t.Errorf("%d traces are counted, %v", n.Traces, err)
	}
	// Who hangs up is forgotten.
	some.Close()
	eventually(t, "one reader is left", func() bool { return g.Tracer.Taps() == 1 })
}

// While nobody reads, no shard tells of segments.
func TestNobodyWatches(t *testing.T) {
	g, path := newWatched(t)
	watching := func() bool {
		g.watchers.mu.Lock()
		defer g.watchers.mu.Unlock()
		return g.watchers.n > 0
	}
	if watching() {
		t.Error("somebody watches from the start")
	}
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := NewClient(path).Events(ctx, "", 0)
		if err != nil || !watching() {
			t.Fatalf("attached: %v, watching %v", err, watching())
		}
		cancel()
		s.Close()
		eventually(t, "nobody watches", func() bool { return !watching() && g.Tracer.Taps() == 0 })
	}
}

func TestEventsRefused(t *testing.T) {
	_, path := newWatched(t)
	for _, v := range []struct {
		query  string
		status int
		says   string
	}{
		{"filter=port+x", 400, "is no port and no range"},
		{"snap=-1", 400, "snap must be"},
		{"snap=65536", 400, "snap must be"},
		{"snap=many", 400, "snap must be"},
	} {
		if status, body := raw(t, path, "GET /v1/events?"+v.query+" HTTP/1.0\r\n\r\n"); status != v.status || !strings.Contains(body, v.says) {
			t.Errorf("%s: %d %s", v.query, status, body)
		}
	}
	if status, body := raw(t, startServer(t, newGateway(t, 1, nil)), "GET /v1/events HTTP/1.0\r\n\r\n"); status != 503 {
		t.Errorf("without a tracer: %d %s", status, body)
	}
	// There is room for so many, and the next is told what to do.
	c := NewClient(path)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for n := 0; ; n++ {
		_, err := c.Events(ctx, "", 0)
		if err == nil && n < 100 {
			continue
		}
		if err == nil || n != 16 || !strings.Contains(err.Error(), "end one of them") {
			t.Errorf("trace %d: %v", n+1, err)
		}
		return
	}
}

// The end of the server ends its streams, soon and in order.
func TestEventsEnd(t *testing.T) {
	tr := trace.New(trace.Options{})
	defer tr.Close()
	g := newObserved(t, 1, nil, tr)
	path := t.TempDir() + "/s"
	server := Serve(listen(t, path), g.Source)
	s, err := NewClient(path).Events(context.Background(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := server.Close(); err != nil || time.Since(began) > closeLimit/2 {
		t.Errorf("the end took %v: %v", time.Since(began), err)
	}
	if e, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end came %+v, %v", e, err)
	}
}
