package control

import (
	"context"
	"strings"
	"testing"

	"tcpmitm/splice"
)

// wantStatus asks for the status of a gateway over its socket.
func wantStatus(t *testing.T, c *Client) *Status {
	t.Helper()
	st, err := c.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStatus(t *testing.T) {
	g := newGateway(t, 2, nil)
	g.Mode, g.Limits = "gateway", Limits{Connections: 10, HalfOpen: 3, Memory: 1 << 20, OverLimit: "pass", Cookies: true}
	waiting := uint64(7)
	g.Queues = func() []Queue { return []Queue{{Number: 29300, Waiting: waiting}, {Number: 29301, SocketFull: 5}} }
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.syn(1, "10.1.0.2:4001", "10.2.0.2:80")
	g.wantCount(t, 2)
	c := NewClient(startServer(t, g))
	st := wantStatus(t, c)
	if !st.Healthy || len(st.Problems) != 0 || st.State != "running" || st.Mode != "gateway" || st.PID == 0 || st.UptimeSeconds <= 0 || st.Version != "test" {
		t.Errorf("status %+v", st)
	}
	if len(st.Shards) != 2 || !st.Shards[1].Answered || st.Shards[1].Index != 1 || st.Shards[1].HalfOpen != 1 {
		t.Errorf("shards %+v", st.Shards)
	}
	if len(st.Limits) != 3 || st.Limits[0] != (LimitStatus{"connections", 2, 10}) || st.Limits[1] != (LimitStatus{"half_open", 2, 3}) || st.Limits[2].Limit != 1<<20 {
		t.Errorf("limits %+v", st.Limits)
	}
	if len(st.Queues) != 2 || st.Queues[0].Waiting != 7 {
		t.Errorf("queues %+v", st.Queues)
	}
	var text strings.Builder
	if err := st.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gateway mode, running for", ": healthy", "2 of at most 10", "0 B of at most 1.0 MB", "29301", "5 in a full socket buffer", "1 half-open"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
}

// Each thing that is wrong makes a status unhealthy, and is said.
func TestStatusNamesWhatIsWrong(t *testing.T) {
	two := func() []Queue { return []Queue{{Number: 29300}, {Number: 29301}} }
	for want, spoil := range map[string]func(*testing.T, *gateway){
		"further clients get SYN cookies":           func(_ *testing.T, g *gateway) { g.Limits = Limits{HalfOpen: 1, Cookies: true} },
		"1 of 1 half_open are in use":               func(_ *testing.T, g *gateway) { g.Limits = Limits{HalfOpen: 1, OverLimit: "drop"} },
		"over_limit holds (reset)":                  func(_ *testing.T, g *gateway) { g.Limits = Limits{Connections: 1, OverLimit: "reset"} },
		"the kernel knows of only 1 of the 2":       func(_ *testing.T, g *gateway) { g.Queues = func() []Queue { return []Queue{{Number: 29300}} } },
		"shard 1 does not answer within 1s: the ho": func(t *testing.T, g *gateway) { g.hang(t, 1) },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, 2, nil)
			g.Queues = two
			g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
			g.wantCount(t, 1)
			spoil(t, g)
			c := NewClient(startServer(t, g))
			for range 2 { // a stuck shard is not asked twice
				st := wantStatus(t, c)
				if st.Healthy || len(st.Problems) != 1 || !strings.Contains(st.Problems[0], want) {
					t.Errorf("problems %q, want one with %q", st.Problems, want)
				}
			}
		})
	}
}

// hang keeps a shard from answering until the test ends.
func (g *gateway) hang(t *testing.T, shard int) {
	free := make(chan struct{})
	go func() { _ = g.Shards[shard].Do(func(*splice.Shard) { <-free }) }()
	t.Cleanup(func() { close(free) }) // before the shard is to stop
}

func TestStatusWhileStopping(t *testing.T) {
	g := newGateway(t, 1, nil)
	c := NewClient(startServer(t, g))
	if err := g.Shards[0].Do(func(s *splice.Shard) { s.Drain() }); err != nil {
		t.Fatal(err)
	}
	if st := wantStatus(t, c); st.State != "stopping" || !st.Healthy {
		t.Errorf("while it drains: %+v", st)
	}
	g.stop()
	if st := wantStatus(t, c); st.State != "stopping" || st.Shards[0].Answered {
		t.Errorf("with stopped shards: %+v", st)
	}
}
