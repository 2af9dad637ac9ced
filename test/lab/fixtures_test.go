package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientSide is the configuration of most tests: all TCP that comes from the
// client's side.
const clientSide = "[intercept]\nclient_side = [\"lan0\"]\nqueues = 2\n"

// Limits of waiting, generous because two slow cores may be shared.
const (
	soon     = 5 * time.Second  // what should take no time at all
	dialWait = 10 * time.Second // for a connection that should succeed
)

// serve answers connections on the server until the test ends; each handler
// has the connection for itself and need not close it.
func serve(t testing.TB, n *Namespace, at netip.AddrPort, handler func(c *net.TCPConn)) {
	t.Helper()
	ln := n.Listen(at)
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[*net.TCPConn]bool{}
	all.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				_ = c.SetDeadline(time.Now().Add(commandLimit))
				handler(c)
				mu.Lock()
				delete(open, c)
				mu.Unlock()
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { // a peer that is gone for good is not waited for
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.SetDeadline(time.Now())
		}
		mu.Unlock()
		over := make(chan struct{})
		go func() { all.Wait(); close(over) }()
		select {
		case <-over:
		case <-time.After(soon):
			t.Errorf("what serves %v does not end", at)
		}
	})
}

// echo returns all it gets, and closes when the client has closed its half.
func echo(c *net.TCPConn) { _, _ = io.Copy(c, c) }

// dial connects the client to the server, or fails the test.
func dial(t testing.TB, l *Lab, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := l.Client.Dial(to, dialWait)
	if err != nil {
		t.Fatalf("connect to %v: %v", to, err)
	}
	_ = c.SetDeadline(time.Now().Add(commandLimit))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// exchange sends text through an echoing connection and wants it back.
func exchange(t testing.TB, why string, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatalf("%s: write: %v", why, err)
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(c, back); err != nil {
		t.Fatalf("%s: read: %v", why, err)
	}
	if string(back) != text {
		t.Fatalf("%s: sent %q, got %q", why, text, back)
	}
}

// wantError wants one of the given errors within a time.
func wantError(t testing.TB, why string, err error, took, limit time.Duration, want ...error) {
	t.Helper()
	if took > limit {
		t.Errorf("%s: took %v, want at most %v", why, took, limit)
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: error %v, want %v", why, err, want)
}

// eventually repeats a look at the world until it pleases.
func eventually(t testing.TB, why string, limit time.Duration, look func() (ok bool, seen string)) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		ok, seen := look()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: not within %v; last seen:\n%s", why, limit, tail(seen))
			return
		}
	}
}

// random is a stream that is the same for the same seed.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// payload writes a file of random octets and returns their SHA-256.
func payload(t testing.TB, path string, seed byte, size int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(f, h), io.LimitReader(random(seed), size), make([]byte, 1<<20)); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fileSum returns the SHA-256 of a file.
func fileSum(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hostPort renders an address as URLs want it.
func hostPort(a netip.AddrPort) string { return a.String() }

const nginxConfig = `
daemon off;
user root;
worker_processes 2;
pid ROOT/nginx.pid;
error_log ROOT/error.log warn;
events { worker_connections 2048; }
http {
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  client_body_temp_path ROOT/body;
  proxy_temp_path ROOT/t1; fastcgi_temp_path ROOT/t2; uwsgi_temp_path ROOT/t3; scgi_temp_path ROOT/t4;
  client_max_body_size 0;
  keepalive_requests 100000;
  server {
    listen ADDR4:80 backlog=1024;
    listen ADDR4:8001-8016 backlog=1024;
    listen [ADDR6]:80 backlog=1024;
    root ROOT/www;
    location /up/ { dav_methods PUT; create_full_put_path on; }
    location /slow/ { alias ROOT/www/; limit_rate 256k; sendfile_max_chunk 32k; } # 32 KiB every eighth of a second
    location /part { try_files /part.bin =404; keepalive_timeout 0; limit_rate 512k; }
  }
}
`

// startNginx runs nginx on the server and returns the folder that it serves.
func startNginx(t testing.TB, l *Lab) string {
	t.Helper()
	root := l.Path("nginx")
	www := root + "/www"
	if err := os.MkdirAll(www, 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("ROOT", root, "ADDR4", ServerIP4.String(), "ADDR6", ServerIP6.String()).Replace(nginxConfig)
	config := l.File("nginx.conf", text)
	p := l.Server.Start("nginx", "-c", config, "-e", root+"/error.log")
	eventually(t, "nginx listens", dialWait, func() (bool, string) {
		if !p.Running() {
			t.Fatalf("nginx ended at its start:\n%s", p.Output())
		}
		c, err := l.Server.Dial(IPv6.At(80), time.Second)
		if err != nil {
			return false, err.Error()
		}
		_ = c.Close()
		return true, ""
	})
	return www
}

func netipAt(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// restoreRoutes gives the client back what taking its device down removed.
func (n *Namespace) restoreRoutes() {
	n.lab.t.Helper()
	n.batch("addr replace fd01::2/64 dev eth0 nodad", "route replace default via 10.1.0.1",
		"route replace ::/0 via fd01::1")
}

// wantNoConnections wants tcpmitm to be done with all connections within a
// time; what then still waits in TIME-WAIT does not count.
func wantNoConnections(t testing.TB, p *Proxy, limit time.Duration) {
	t.Helper()
	if Plain {
		return
	}
	eventually(t, "no connection is left", limit, func() (bool, string) {
		c := p.Counters()
		return c.Connections == 0 && c.Opened == c.Closed, fmt.Sprintf("%+v\n%s", c, p.SS())
	})
}
