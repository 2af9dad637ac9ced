package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// webConnections is how many connections wrk keeps busy.
const webConnections = 50

// webConfig is nginx's: one process, answers from memory. A connection to
// /once is closed with the answer.
const webConfig = `
daemon off;
master_process off;
user root;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
  uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen %[2]s:%[3]d-%[4]d;
    location / { return 200 "Hello from a server that knows nothing of the gateway.\n"; }
    location /once { keepalive_timeout 0; return 200 "Hello from a server that knows nothing of the gateway.\n"; }
  }
}
`

func startWeb(l *lab, path string) error {
	p, err := l.start(l.server, "nginx", "-c", path, "-e", l.folder+"/nginx.log")
	if err != nil {
		return err
	}
	return p.until("listening", func() bool {
		r, err := openRaw(l.server, "", serverAddress, webPort)
		if err == nil {
			r.close()
		}
		return err == nil
	})
}

// webResult is what wrk says, and what it cost.
type webResult struct {
	requests  float64
	perSecond float64
	p50, p99  time.Duration
	errors    int // connections that failed, and answers that were none
	used      usage
}

// runWeb has wrk ask for a page for whole seconds.
func runWeb(s *site, port int, page string, seconds int) (r webResult, err error) {
	limit := time.Duration(seconds)*time.Second + commandLimit
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	before, err := usageNow(s.pid())
	if err != nil {
		return r, err
	}
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", s.lab.client.name, "wrk", "-t1", fmt.Sprint("-c", webConnections),
		fmt.Sprintf("-d%ds", seconds), "--latency", fmt.Sprintf("http://%s:%d%s", s.target(), port, page)).CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	after, err := usageNow(s.pid())
	if err != nil {
		return r, err
	}
	r, err = parseWrk(string(out))
	r.used = after.minus(before)
	return r, err
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s+(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s+([\d.]+)`)
	wrkP50      = regexp.MustCompile(`(?m)^\s+50%\s+([\d.]+)(us|ms|s|m)$`)
	wrkP99      = regexp.MustCompile(`(?m)^\s+99%\s+([\d.]+)(us|ms|s|m)$`)
	wrkErrors   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkBad      = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// parseWrk reads wrk's report.
func parseWrk(out string) (r webResult, err error) {
	number := func(re *regexp.Regexp) float64 {
		m := re.FindStringSubmatch(out)
		if m == nil {
			err = errors.Join(err, fmt.Errorf("no %v in what wrk says:\n%s", re, out))
			return 0
		}
		v, e := strconv.ParseFloat(m[1], 64)
		err = errors.Join(err, e)
		return v
	}
	duration := func(re *regexp.Regexp) time.Duration {
		m := re.FindStringSubmatch(out)
		if m == nil {
			err = errors.Join(err, fmt.Errorf("no %v in what wrk says:\n%s", re, out))
			return 0
		}
		d, e := time.ParseDuration(m[1] + m[2])
		err = errors.Join(err, e)
		return d
	}
	r.requests, r.perSecond = number(wrkRequests), number(wrkRate)
	r.p50, r.p99 = duration(wrkP50), duration(wrkP99)
	for _, re := range []*regexp.Regexp{wrkErrors, wrkBad} {
		if m := re.FindStringSubmatch(out); m != nil {
			for _, field := range m[1:] {
				n, _ := strconv.Atoi(field)
				r.errors += n
			}
		}
	}
	if err == nil && r.requests == 0 {
		err = errors.New("no request was answered")
	}
	return r, err
}
