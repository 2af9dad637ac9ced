package lab

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ended is how a connection ended for one of its peers.
type ended struct {
	err error
	at  time.Time
}

// end reads until the connection ends. Octets that come meanwhile are no end.
func end(c net.Conn) ended {
	_, err := io.Copy(io.Discard, c)
	return ended{err, time.Now()}
}

// told is what the control interface says of live connections.
type told struct {
	Total       int `json:"total"`
	Connections []struct {
		Conn   uint64         `json:"conn"`
		Client netip.AddrPort `json:"client"`
	} `json:"connections"`
}

// numberOf returns the number of the connection that has this address at the
// client.
func numberOf(t *testing.T, p *Proxy, client net.Addr) string {
	t.Helper()
	var list told
	if err := p.Ask("/v1/connections", &list); err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Connections {
		if c.Client.String() == client.String() {
			return strconv.FormatUint(c.Conn, 10)
		}
	}
	t.Fatalf("tcpmitm has no connection from %v", client)
	return ""
}

// exitOf runs a command of tcpmitm's and wants an exit code and some words.
func exitOf(t *testing.T, p *Proxy, code int, words string, args ...string) {
	t.Helper()
	out, err := p.Command(append(args, "--socket", p.Socket)...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	}
	if got != code || !strings.Contains(out, words) {
		t.Errorf("tcpmitm %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, words, out)
	}
}

// TestKill ends idle connections by filter and by number: both peers see
// ECONNRESET within a second, by a RST that they accept at once, and all other
// connections go on.
func TestKill(t *testing.T) {
	if Plain {
		t.Log("plain forwarding ends nothing")
		return
	}
	const idle = 5
	t.Parallel()
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	l.EachFamily(func(t *testing.T, f Family) {
		atServerEnded := make(chan ended, idle)
		serve(t, l.Server, f.At(7000), func(c *net.TCPConn) {
			_, _ = io.CopyN(c, c, 5)
			atServerEnded <- end(c)
		})
		serve(t, l.Server, f.At(7001), echo)
		atClient := l.Client.Capture(clientDevice, "tcp port 7000")
		atServer := l.Server.Capture(serverDevice, "tcp port 7000")
		other := dial(t, l, f.At(7001))
		exchange(t, "the other connection", other, "before")
		var conns []*net.TCPConn
		for range idle {
			c := dial(t, l, f.At(7000))
			exchange(t, "before it is idle", c, "hello")
			conns = append(conns, c)
		}
		time.Sleep(1100 * time.Millisecond) // they are idle now, and the last ACKs have come
		atClientEnded := make(chan ended, idle)
		for _, c := range conns {
			go func() { atClientEnded <- end(c) }()
		}
		family := "host " + f.Server().String() + " and "
		exitOf(t, p, 0, strconv.Itoa(idle)+" would be ended", "kill", "--dry-run", family+"port 7000 and idle 1s")
		exitOf(t, p, 1, "0 ended", "kill", family+"port 7000 and idle 1h")
		exitOf(t, p, 2, `"7000x" is no word`, "kill", "port", "7000", "or", "7000x")
		exitOf(t, p, 2, "say which", "kill")
		exitOf(t, p, 0, "", "ss", family+"server port 7000")

		by := []string{"1 ended", numberOf(t, p, conns[0].LocalAddr())}
		for _, command := range [][]string{by, {strconv.Itoa(idle-1) + " ended", family + "port 7000 and state ESTAB"}} {
			began := time.Now()
			n, _ := strconv.Atoi(strings.Fields(command[0])[0])
			exitOf(t, p, 0, command[0], "kill", command[1])
			for range n {
				for who, c := range map[string]chan ended{"client": atClientEnded, "server": atServerEnded} {
					select {
					case e := <-c:
						wantError(t, "the "+who, e.err, e.at.Sub(began), time.Second, syscall.ECONNRESET)
					case <-time.After(soon):
						t.Fatalf("the %s of an idle connection that was killed hears nothing", who)
					}
				}
			}
		}
		exitOf(t, p, 1, "there is no live connection", "kill", by[1])
		exchange(t, "the other connection", other, "after")
		wantOneReset(t, "client", atClient.Frames(), f.At(7000), idle)
		wantOneReset(t, "server", atServer.Frames(), f.At(7000), idle)
		eventually(t, "each end is in the log, and who brought it about", soon, func() (bool, string) {
			n := 0
			for line := range strings.Lines(p.Log()) {
				if strings.Contains(line, f.At(7000).String()) && strings.Contains(line, "how=operator") && strings.Contains(line, `codes="OD OD"`) {
					n++
				}
			}
			return n == idle, p.Log()
		})
		_ = other.CloseWrite()
		if e := end(other); e.err != nil {
			t.Errorf("the other connection ends with %v", e.err)
		}
	})
	exitOf(t, p, 0, ": healthy", "status")
	var c struct {
		Killed int `json:"killed"`
	}
	if err := p.Ask("/v1/counters", &c); err != nil || c.Killed != 2*idle {
		t.Errorf("%d connections are counted as killed, %v; want %d", c.Killed, err, 2*idle)
	}
}

// wantOneReset wants one RST towards this end of each connection, with the
// number that the end expects next, and nothing from the end afterwards: a RST
// that it does not accept is answered with a challenge ACK (RFC 5961).
func wantOneReset(t *testing.T, who string, frames []Frame, server netip.AddrPort, conns int) {
	t.Helper()
	expects, resets := map[netip.AddrPort]uint32{}, map[netip.AddrPort]int{}
	for i := range frames {
		fr := &frames[i]
		mine := fr.Src == server // this end has sent it
		client := fr.Dst
		if who == "client" {
			mine, client = fr.Dst == server, fr.Src
			if !mine {
				client = fr.Dst
			}
		} else if !mine {
			client = fr.Src
		}
		switch {
		case mine && resets[client] > 0:
			t.Errorf("the %s answers the RST: %s", who, fr)
		case mine:
			expects[client] = fr.Ack
		case fr.RST:
			if resets[client]++; fr.Seq != expects[client] {
				t.Errorf("the RST to the %s has number %d, want %d", who, fr.Seq, expects[client])
			}
		}
	}
	for client, n := range resets {
		if n != 1 {
			t.Errorf("%d RSTs to the %s of the connection from %v", n, who, client)
		}
	}
	if len(resets) != conns {
		t.Errorf("RSTs to the %s on %d connections, want %d:\n%s", who, len(resets), conns, Dump(frames))
	}
}

// TestControlIsHostile has the control socket asked in all the wrong ways at
// once, while connections go on: each is refused for what is wrong with it,
// and the gateway does not notice.
func TestControlIsHostile(t *testing.T) {
	if Plain {
		t.Log("plain forwarding is asked nothing")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	serve(t, l.Server, IPv4.At(7000), echo)
	p := l.StartProxy(clientSide)
	open := dial(t, l, IPv4.At(7000))
	exchange(t, "before", open, "before")
	say := func(text string) net.Conn {
		c, err := net.Dial("unix", p.Socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(c, text)
		return c
	}
	began := time.Now()
	// Two that never finish what they say: in the head, and in the body.
	slow := []net.Conn{
		say("GET /v1/status HTTP/1.1\r\nHost:"),
		say("POST /v1/connections/kill HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"all\":"),
	}
	for _, v := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v1/connections/kill", `{"all": true, "filter": "` + strings.Repeat("x", 1<<20) + `"}`, http.StatusRequestEntityTooLarge, "more than 65536 octets"},
		{"/v1/connections/kill", `{"filter": "port"}`, http.StatusBadRequest, "port wants something"},
		{"/v1/connections/kill", `{"filter": "` + strings.Repeat("(", 1000) + `"}`, http.StatusBadRequest, "make it simpler"},
		{"/v1/connections/kill", `{}`, http.StatusBadRequest, "say which"},
		{"/v1/connections/kill", "\x00\xff", http.StatusBadRequest, "is not JSON"},
		{"/v1/connections?filter=rule%20%22", "", http.StatusBadRequest, "has no second one"},
		{"/v1/connections?filter=" + strings.Repeat("a", 5000), "", http.StatusBadRequest, "longer than 4096"},
		{"/v1/connections?limit=999999999999999999999", "", http.StatusBadRequest, "limit must be"},
		{"/v1/rules/set", `{"name": "none", "set": ["x=1"]}`, http.StatusNotFound, "none"},
		{"/v1/nothing", "", http.StatusNotFound, "there are"},
	} {
		var answer *http.Response
		var err error
		if v.body != "" {
			answer, err = p.http.Post("http://tcpmitm"+v.path, "application/json", strings.NewReader(v.body))
		} else {
			answer, err = p.http.Get("http://tcpmitm" + v.path)
		}
		if err != nil {
			t.Errorf("%.40s: %v", v.path, err)
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
		_ = answer.Body.Close()
		if answer.StatusCode != v.status || !strings.Contains(string(body), v.says) {
			t.Errorf("%.40s: %d %s, want %d and %q", v.path, answer.StatusCode, body, v.status, v.says)
		}
		var f struct{ Error string }
		if json.Unmarshal(body, &f) != nil || f.Error == "" || len(f.Error) > 1000 {
			t.Errorf("%.40s: the answer %.200q is no error of ours", v.path, body)
		}
	}
	// More clients than it serves at once wait, and do not keep it from its work.
	for range 200 {
		if c, err := net.DialTimeout("unix", p.Socket, time.Second); err == nil {
			defer c.Close()
		}
	}
	exchange(t, "beside all that", open, strings.Repeat("beside", 10_000))
	for i, limit := range []time.Duration{7 * time.Second, 12 * time.Second} {
		b, err := io.ReadAll(slow[i])
		if took := time.Since(began); took > limit {
			t.Errorf("slow client %d was kept for %v, %v: %.100q", i, took, err, b)
		}
	}
	if n := p.Counters().Connections; n != 1 {
		t.Errorf("%d connections are left, want the one", n)
	}
	exchange(t, "after", open, "after")
}
