package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcpmitm/splice"
)

// floodPlay drives a watch second by second.
type floodPlay struct {
	*FloodWatch
	met, came uint64
	now       time.Time
	out       bytes.Buffer
}

func newFloodPlay(ask func() (*SYNRecv, error)) *floodPlay {
	p := &floodPlay{now: time.Unix(1e9, 0)}
	p.FloodWatch = &FloodWatch{
		syns: func() (uint64, uint64) { return p.met, p.came }, ask: ask,
		log: slog.New(slog.NewTextHandler(&p.out, nil)), looked: p.now,
	}
	return p
}

func (p *floodPlay) seconds(n, met, came int) {
	for range n {
		p.met += uint64(met)
		p.came += uint64(came)
		p.now = p.now.Add(time.Second)
		p.look(p.now)
	}
}

func (p *floodPlay) wantLines(t *testing.T, why string, want ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSpace(p.out.String()), "\n")
	p.out.Reset()
	if len(want) == 0 && got[0] == "" {
		return
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d lines, want %d:\n%s", why, len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: got %s\nwant %s", why, got[i], want[i])
		}
	}
}

func TestAFloodIsToldAtItsBeginningAndItsEnd(t *testing.T) {
	p := newFloodPlay(func() (*SYNRecv, error) {
		r := &SYNRecv{Total: 5000, HalfOpen: 4096, NetsSeen: 2, Nets: []SYNNet{
			{Net: netip.MustParsePrefix("198.51.100.0/24"), Total: 4000}, {Net: netip.MustParsePrefix("2001:db8::/64"), Total: 1000},
		}}
		return r, nil
	})
	p.seconds(5, 1000, 1000)
	p.wantLines(t, "who answers is no flood")
	p.seconds(5, floodRate-1, 0)
	p.wantLines(t, "few are no flood")
	p.seconds(2, 20_000, 50)
	p.wantLines(t, "it begins", `level=WARN msg="SYN flood" syn_recv=5000 half_open=4096`)
	p.seconds(150, 20_000, 50)
	p.wantLines(t, "it lasts: a line a minute", "the SYN flood goes on", "the SYN flood goes on")
	p.seconds(9, 0, 0)
	p.wantLines(t, "a pause")
	p.seconds(1, 20_000, 0)
	p.seconds(9, 0, 0)
	p.wantLines(t, "and on")
	p.seconds(1, 0, 0)
	p.wantLines(t, "it is over", `level=INFO msg="the SYN flood is over" lasted=2m41s syns=3060000 answered=7600 highest_per_second=20000`)
	p.seconds(100, 0, 0)
	p.wantLines(t, "nothing more")
	if p.count() != 1 {
		t.Errorf("%d floods counted", p.count())
	}
}

func TestAFloodIsToldWhereItComesFrom(t *testing.T) {
	ask := func() (*SYNRecv, error) {
		return &SYNRecv{Nets: []SYNNet{{Net: netip.MustParsePrefix("198.51.100.0/24"), Total: 4000}, {Net: netip.MustParsePrefix("2001:db8::/64"), Total: 7}}}, nil
	}
	p := newFloodPlay(ask)
	p.seconds(1, 1000, 0)
	p.wantLines(t, "nets", `by_source="198.51.100.0/24 4000, 2001:db8::/64 7"`)
	p = newFloodPlay(func() (*SYNRecv, error) { return nil, errors.New("busy") })
	p.seconds(1, 1000, 0)
	p.wantLines(t, "shards that cannot be asked", `msg="SYN flood"`)
}

// TestSYNRecvIsAnswered: a shard with half-open connections tells of them by
// net, over the socket and in the metrics.
func TestSYNRecvIsAnswered(t *testing.T) {
	g := newGateway(t, 2, nil)
	g.Floods = &FloodWatch{on: true, began: time.Now().Add(-time.Minute), rate: 1234, floods: 3}
	for i, from := range []string{"10.1.0.2:4000", "10.1.0.77:4001", "10.9.0.1:4002", "[fd01::1]:4003", "[fd01::2]:4004", "[fd01::3]:4005"} {
		to := "10.2.0.2:80"
		if from[0] == '[' {
			to = "[fd02::2]:80"
		}
		g.syn(i%2, from, to)
	}
	g.wantCount(t, 6)
	c := NewClient(startServer(t, g))
	r, err := c.SYNRecv(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Flood || r.FloodSeconds < 60 || r.PerSecond != 1234 || r.Total != 6 || r.HalfOpen != 6 || r.NetsSeen != 3 || len(r.Nets) != 3 ||
		r.Nets[0].Net.String() != "fd01::/64" || r.Nets[0].Total != 3 || r.Nets[1].Net.String() != "10.1.0.0/24" || r.Nets[1].HalfOpen != 2 {
		t.Errorf("got %+v", r)
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	const want = `SYN flood for 1m0s, 1234 SYNs a second without an answer
SYN-RECV 6: 6 half-open, 0 without a state and unanswered; from 3 nets
SYN-RECV  HALF-OPEN  UNANSWERED  SOURCE
3         3          0           fd01::/64
2         2          0           10.1.0.0/24
1         1          0           10.9.0.0/24
`
	if table.String() != want {
		t.Errorf("got\n%swant\n%s", table.String(), want)
	}
	l, err := ListenMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := ServeMetrics(l, g.Source)
	defer s.Close()
	a, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(a.Body)
	for _, want := range []string{`tcpmitm_syn_recv{kind="half_open"} 6`, `tcpmitm_syn_recv{kind="unanswered"} 0`, "tcpmitm_syn_flood 1", "tcpmitm_syn_floods_total 3", "tcpmitm_unanswered_syns_per_second 1234"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestWatchFloodsEnds(t *testing.T) {
	g := newGateway(t, 1, nil)
	w := WatchFloods(g.Source, &splice.Budget{}, slog.New(slog.DiscardHandler))
	if g.Floods != w {
		t.Error("the source does not know of it")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
