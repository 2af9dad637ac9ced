package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcpmitm/rules"
)

func startServer(t *testing.T, g *gateway) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	s := Serve(listen(t, path), g.Source)
	t.Cleanup(func() { s.Close() })
	return path
}

// raw sends a request as it stands and returns the answer.
func raw(t *testing.T, path, request string) (status int, body string) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	return a.StatusCode, string(b)
}

func TestClientAndServer(t *testing.T) {
	g := newGateway(t, 2, nil)
	g.syn(1, "10.1.0.2:4000", "10.2.0.2:80")
	g.wantCount(t, 1)
	c := NewClient(startServer(t, g))
	list, err := c.Connections(context.Background(), "", 10, false)
	if err != nil || len(list.List) != 1 || list.List[0].Client.String() != "10.1.0.2:4000" || list.List[0].ServerLeg.State != "SYN-SENT" {
		t.Errorf("connections %+v, %v", list, err)
	}
	n, err := c.Counters(context.Background())
	if err != nil || n.Connections != 1 || n.Drops["bad-checksum"] != 20 {
		t.Errorf("counters %+v, %v", n, err)
	}
	g.stop()
	if _, err := c.Counters(context.Background()); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("with stopped shards: %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := NewClient(filepath.Join(t.TempDir(), "none")).Counters(context.Background())
	if err == nil || !strings.Contains(err.Error(), "nobody answers on") || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("got %v", err)
	}
}

func TestOddRequests(t *testing.T) {
	path := startServer(t, newGateway(t, 1, nil))
	for _, v := range []struct {
		request string
		status  int
		says    string
	}{
		{"GET /v1/connections HTTP/1.0\r\n\r\n", 200, `"connections":[]`},
		{"GET /v1/connections?all=maybe HTTP/1.0\r\n\r\n", 400, "all must be"},
		{"GET /v1/connections?limit=-1 HTTP/1.0\r\n\r\n", 400, "limit must be"},
		{"GET /v1/connections?limit=100001 HTTP/1.0\r\n\r\n", 400, "limit must be"},
		{"GET /v1/connections?limit=x HTTP/1.0\r\n\r\n", 400, "limit must be"},
		{"GET /v2 HTTP/1.0\r\n\r\n", 404, "/v1/connections"},
		{"POST /v1/counters HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 404, "/v1/counters"},
		{"rubbish\r\n\r\n", 400, ""},
		{"GET / HTTP/1.0\r\nX: " + strings.Repeat("x", 3*maxHeaderOctets) + "\r\n\r\n", 431, ""},
	} {
		status, body := raw(t, path, v.request)
		if status != v.status || !strings.Contains(body, v.says) {
			t.Errorf("%.40q: %d %s, want %d and %q", v.request, status, body, v.status, v.says)
		}
	}
}

func TestMetrics(t *testing.T) {
	g := newGateway(t, 2, rules.New([]*rules.Rule{{
		Name: "r", Match: rules.Match{Probability: 1}, Faults: []rules.Fault{{On: rules.Data, Do: rules.Lose, Which: rules.Which{Nth: 2}}},
	}}))
	g.syn(0, "10.1.0.2:4000", "10.2.0.2:80")
	g.wantCount(t, 1)
	l, err := ListenMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	g.Queues = func() []Queue { return []Queue{{Number: 29300, Waiting: 3, QueueFull: 4, SocketFull: 5}} }
	s := ServeMetrics(l, g.Source)
	defer s.Close()
	a, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(a.Body)
	for _, want := range []string{
		`tcpmitm_connections_opened_total 1`, `tcpmitm_legs{leg="client",state="LISTEN"} 1`, `tcpmitm_legs{leg="server",state="SYN-SENT"} 1`,
		`tcpmitm_legs{leg="server",state="ESTAB"} 0`, `tcpmitm_connections{phase="half_open"} 1`, `tcpmitm_connections{phase="open"} 0`,
		`tcpmitm_drops_total{reason="bad-checksum"} 20`, `tcpmitm_bytes_total{leg="server"} 0`,
		`tcpmitm_segments_total{direction="in",leg="client"} 1`, `tcpmitm_build_info{version="test"} 1`, "go_goroutines",
		`tcpmitm_queue_depth{queue="29300"} 3`, `tcpmitm_queue_kernel_drops_total{cause="queue_full",queue="29300"} 4`,
		`tcpmitm_queue_kernel_drops_total{cause="socket_full",queue="29300"} 5`,
		`tcpmitm_connection_ends_total{cause="RST",first="server"} 0`, `tcpmitm_handshakes_total{leg="client"} 0`,
		`tcpmitm_retransmissions_total{by="peer",leg="server"} 0`, `tcpmitm_rtt_seconds_bucket{leg="server",le="0.0025"} 0`,
		`tcpmitm_handshake_seconds_count{leg="client"} 0`,
		`tcpmitm_rule_fired_total{kind="fault",number="1",rule="r",what="client data drop nth 2"} 0`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the metrics lack %s:\n%s", want, body)
		}
	}
	if _, err := ListenMetrics(address); err == nil || !strings.Contains(err.Error(), "choose another address") {
		t.Errorf("an address that is taken: %v", err)
	}
}

// What waits for a slow client must not grow for ever.
func TestClientsAreBounded(t *testing.T) {
	path := startServer(t, newGateway(t, 1, nil))
	var idle []net.Conn
	for range maxClients {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v1/counters HTTP/1.0\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, _ := c.Read(make([]byte, 1)); n > 0 {
		t.Errorf("client %d was served beside %d others", maxClients+1, maxClients)
	}
	for _, i := range idle {
		i.Close()
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("the client that waited was not served: %v", err)
	}
}
