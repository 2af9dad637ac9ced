package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// killed asks for an end of connections, and returns the status and the body.
func (g *gateway) killed(body string) (int, string) {
	w := httptest.NewRecorder()
	routesOf(g.Source, nil).ServeHTTP(w, httptest.NewRequest("POST", "/v1/connections/kill", strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestKillOverTheSocket(t *testing.T) {
	g := newGateway(t, 2, nil)
	var said bytes.Buffer
	g.Log = slog.New(slog.NewTextHandler(&said, nil))
	for i := range 6 {
		g.syn(i%2, fmt.Sprintf("10.1.0.2:%d", 4000+i), fmt.Sprintf("10.2.0.2:%d", 80+i%3))
	}
	g.wantCount(t, 6)
	c := NewClient(startServer(t, g))
	ctx := context.Background()
	list, err := c.Connections(ctx, "port 80 or port 81", 1, false)
	if err != nil || list.Total != 4 || len(list.List) != 1 {
		t.Fatalf("filtered list: %+v, %v; want 1 of 4", list, err)
	}
	would, err := c.Kill(ctx, &Kill{Filter: "server port 80", DryRun: true})
	if err != nil || would.Killed != 2 || len(would.List) != 2 || !would.DryRun {
		t.Errorf("a dry run says %+v, %v; want 2", would, err)
	}
	g.wantCount(t, 6)
	if said.Len() > 0 {
		t.Errorf("a dry run was logged: %s", &said)
	}
	done, err := c.Kill(ctx, &Kill{Filter: "server port 80"})
	if err != nil || done.Killed != 2 || len(done.List) != 2 || done.DryRun || done.List[0].Server.Port() != 80 {
		t.Errorf("killed %+v, %v; want 2", done, err)
	}
	g.wantCount(t, 4)
	if !strings.Contains(said.String(), "connections=2") || !strings.Contains(said.String(), `filter="server port 80"`) {
		t.Errorf("the log says %s", &said)
	}
	one := list.List[0].Conn
	if list.List[0].Server.Port() == 80 {
		left, _ := c.Connections(ctx, "", 10, false)
		one = left.List[0].Conn
	}
	done, err = c.Kill(ctx, &Kill{Conns: []uint64{one, 4711, 4711}})
	if err != nil || done.Killed != 1 || done.List[0].Conn != one || len(done.Missing) != 1 || done.Missing[0] != 4711 {
		t.Errorf("by number: %+v, %v; want %d killed and 4711 missing", done, err, one)
	}
	g.wantCount(t, 3)
	if done, err = c.Kill(ctx, &Kill{All: true}); err != nil || done.Killed != 3 {
		t.Errorf("all: %+v, %v; want 3", done, err)
	}
	g.wantCount(t, 0)
	n, err := c.Counters(ctx)
	if err != nil || n.Killed != 6 {
		t.Errorf("%d are counted as killed, %v; want 6", n.Killed, err)
	}
	g.stop()
	if _, err := c.Kill(ctx, &Kill{All: true}); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("with stopped shards: %v", err)
	}
}

// More connections than one batch end, each once, and the list in the answer
// is bounded.
func TestKillOfMany(t *testing.T) {
	const many = 2*killBatch + 100
	g := newGateway(t, 1, nil)
	for i := range many {
		g.syn(0, fmt.Sprintf("10.1.0.2:%d", 2000+i), "10.2.0.2:80")
	}
	g.wantCount(t, many)
	out, err := g.kill(&Kill{All: true}, nil)
	if err != nil || out.Killed != many || len(out.List) != maxKilledShown {
		t.Errorf("killed %d, %v, with a list of %d; want %d and %d", out.Killed, err, len(out.List), many, maxKilledShown)
	}
	g.wantCount(t, 0)
}

// Nobody is killed by mistake.
func TestKillWantsToBeToldWhom(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.wantCount(t, 1)
	for body, want := range map[string]string{
		``:                                   "the body is not JSON such as",
		`{}`:                                 "say which connections",
		`{"dry_run": true}`:                  "say which connections",
		`{"filter": ""}`:                     "say which connections",
		`{"filter": "  "}`:                   "the filter is empty",
		`{"filter": "port 80", "all":1}`:     "the body is not JSON",
		`{"filter": "port 80", "all": true}`: "only one of filter, conns and all",
		`{"conns": [1], "all": true}`:        "only one of filter, conns and all",
		`{"conns": [-1]}`:                    "the body is not JSON",
		`{"filtre": "port 80"}`:              "unknown field",
		`{"filter": "leg client"}`:           "leg is about segments",
		`{"filter": "port"}`:                 "port wants something",
		`{"filter": "` + strings.Repeat("(", 200) + `"}`:      "make it simpler",
		`{"filter": "` + strings.Repeat("x", 5000) + `"}`:     "use several shorter ones",
		`{"all": true} {"all": true}`:                         "more than one question",
		`{"conns": [` + strings.Repeat("7,", 4096) + `7]}`:    "more than 4096 conns",
		strings.Repeat("[", 60_000):                           "the body is not JSON",
		`{"filter": "rule \"` + "\x00" + `\""}`:               "the body is not JSON",
		`{"filter": "rule \"x"}`:                              "has no second one",
		`{"filter": "` + strings.Repeat("conn 1 ", 70) + `"}`: "more than 64 terms",
	} {
		if status, text := g.killed(body); status != http.StatusBadRequest || !strings.Contains(text, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%.60q: %d %s, want 400 and %q", body, status, text, want)
		}
	}
	g.wantCount(t, 1)
}
