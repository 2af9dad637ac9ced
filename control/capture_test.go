package control

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"tcpmitm/capture"
)

// A capture that is attached misses nothing on any shard, and ends with the
// reader.
func TestCapture(t *testing.T) {
	g, path := newWatched(t)
	watching := func() bool {
		g.wires.mu.Lock()
		defer g.wires.mu.Unlock()
		return g.wires.n > 0
	}
	if watching() {
		t.Error("somebody captures from the start")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	body, err := NewClient(path).Capture(ctx, "server port 81", 0)
	if err != nil || !watching() {
		t.Fatalf("attached: %v, captured %v", err, watching())
	}
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.syn(1, "10.1.0.2:4001", "10.2.0.2:81")
	r := capture.NewBlockReader(body)
	for packets := 0; packets < 2; { // the client's SYN, and ours to the server
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if b.IsPacket() {
			packets++
		}
	}
	_ = body.Close()
	eventually(t, "nobody captures", func() bool { return !watching() })
}

func TestCaptureRefused(t *testing.T) {
	_, path := newWatched(t)
	for query, says := range map[string]string{"filter=port+x": "is no port and no range", "snap=-1": "snap must be", "snap=65536": "snap must be"} {
		if status, body := raw(t, path, "GET /v1/capture?"+query+" HTTP/1.0\r\n\r\n"); status != 400 || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	without := startServer(t, newGateway(t, 1, nil))
	for _, what := range []string{"capture", "ends"} {
		if status, body := raw(t, without, "GET /v1/"+what+" HTTP/1.0\r\n\r\n"); status != 503 {
			t.Errorf("%s without a tracer: %d %s", what, status, body)
		}
	}
	c := NewClient(path)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for n := 0; ; n++ {
		_, err := c.Capture(ctx, "", 0)
		if err == nil && n < 100 {
			continue
		}
		if err == nil || n != 18 || !strings.Contains(err.Error(), "end one of them") {
			t.Errorf("capture %d: %v", n+1, err)
		}
		return
	}
}

// The end of the server ends captures, soon and in order.
func TestCaptureEnds(t *testing.T) {
	g, _ := newWatched(t)
	path := t.TempDir() + "/s"
	server := Serve(listen(t, path), g.Source)
	body, err := NewClient(path).Capture(context.Background(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := server.Close(); err != nil || time.Since(began) > closeLimit/2 {
		t.Errorf("the end took %v: %v", time.Since(began), err)
	}
	for r := capture.NewBlockReader(body); ; {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEnds(t *testing.T) {
	g, path := newWatched(t)
	c := NewClient(path)
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.wantCount(t, 1)
	if e, err := c.Ends(context.Background(), "", 0); err != nil || e.Ended != 0 || len(e.List) != 0 {
		t.Errorf("before any end: %+v, %v", e, err)
	}
	g.stop() // which ends the connection
	e, err := c.Ends(context.Background(), "port 80", 0)
	if err != nil || e.Ended != 1 || len(e.List) != 1 || e.List[0].Verdict == nil {
		t.Fatalf("after the end: %+v, %v", e, err)
	}
	if e, err = c.Ends(context.Background(), "", e.Ended); err != nil || e.Ended != 1 || len(e.List) != 0 {
		t.Errorf("nothing new: %+v, %v", e, err)
	}
	if status, body := raw(t, path, "GET /v1/ends?after=x HTTP/1.0\r\n\r\n"); status != 400 || !strings.Contains(body, "after must be") {
		t.Errorf("a bad number: %d %s", status, body)
	}
}
