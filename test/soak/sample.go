package soak

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"tcpmitm/control"
	"tcpmitm/test/lab"
)

const (
	// metricsPort is where tcpmitm's metrics are, on the gateway's own loopback.
	metricsPort = 9380
	// rulesEvery is with which sample the firewall's rules are counted, for
	// which a program must be started.
	rulesEvery = 10
	// scrapesForGC bounds how often the metrics are asked for until the garbage
	// collector has run: each answer makes some garbage.
	scrapesForGC = 5000
)

// Sample is what tcpmitm holds at one moment.
type Sample struct {
	At         time.Duration // since the traffic began
	RSS        int64         // octets
	HeapLive   int64         // octets that the garbage collector left, the last time
	FDs        int
	Goroutines int
	Threads    int
	Flows      int
	HalfOpen   int
	Lingering  int
	Timers     int
	Held       int
	Buffers    int64 // octets
	Firewall   int   // rules on the gateway; 0: not counted this time
	CPU        time.Duration
	Opened     uint64
	Closed     uint64
	Waiting    uint64 // packets in NFQUEUE
	QueueFull  uint64 // packets, as the kernel counts
	SocketFull uint64
	Overruns   uint64
	SendErrors uint64
	LostOut    uint64
	Verdicts   uint64 // that the kernel refused

	collections float64 // of garbage
}

// columns of the file of samples.
var columns = []struct {
	name  string
	value func(*Sample) string
}{
	{"seconds", func(s *Sample) string { return fmt.Sprintf("%.1f", s.At.Seconds()) }},
	{"rss", func(s *Sample) string { return fmt.Sprint(s.RSS) }},
	{"heap_live", func(s *Sample) string { return fmt.Sprint(s.HeapLive) }},
	{"fds", func(s *Sample) string { return fmt.Sprint(s.FDs) }},
	{"goroutines", func(s *Sample) string { return fmt.Sprint(s.Goroutines) }},
	{"threads", func(s *Sample) string { return fmt.Sprint(s.Threads) }},
	{"flows", func(s *Sample) string { return fmt.Sprint(s.Flows) }},
	{"half_open", func(s *Sample) string { return fmt.Sprint(s.HalfOpen) }},
	{"lingering", func(s *Sample) string { return fmt.Sprint(s.Lingering) }},
	{"timers", func(s *Sample) string { return fmt.Sprint(s.Timers) }},
	{"held", func(s *Sample) string { return fmt.Sprint(s.Held) }},
	{"buffers", func(s *Sample) string { return fmt.Sprint(s.Buffers) }},
	{"firewall", func(s *Sample) string { return fmt.Sprint(s.Firewall) }},
	{"cpu_seconds", func(s *Sample) string { return fmt.Sprintf("%.2f", s.CPU.Seconds()) }},
	{"opened", func(s *Sample) string { return fmt.Sprint(s.Opened) }},
	{"closed", func(s *Sample) string { return fmt.Sprint(s.Closed) }},
	{"waiting", func(s *Sample) string { return fmt.Sprint(s.Waiting) }},
	{"queue_full", func(s *Sample) string { return fmt.Sprint(s.QueueFull) }},
	{"socket_full", func(s *Sample) string { return fmt.Sprint(s.SocketFull) }},
	{"overruns", func(s *Sample) string { return fmt.Sprint(s.Overruns) }},
	{"send_errors", func(s *Sample) string { return fmt.Sprint(s.SendErrors) }},
	{"lost_out", func(s *Sample) string { return fmt.Sprint(s.LostOut) }},
	{"verdict_errors", func(s *Sample) string { return fmt.Sprint(s.Verdicts) }},
}

// sampler looks at tcpmitm.
type sampler struct {
	lab   *lab.Lab
	proxy *lab.Proxy
	ask   *control.Client
	web   *http.Client // in the gateway's namespace
	began time.Time    // of the traffic

	mu   sync.Mutex
	list []Sample
	n    int
}

func newSampler(l *lab.Lab, p *lab.Proxy) *sampler {
	return &sampler{
		lab: l, proxy: p, ask: control.NewClient(p.Socket), began: time.Now(),
		web: &http.Client{Transport: &http.Transport{DialContext: l.Gateway.DialContext}, Timeout: controlLimit},
	}
}

// look takes a sample. Counting the firewall's rules takes a program.
func (s *sampler) look(ctx context.Context, firewall bool) (x Sample, err error) {
	x.At = time.Since(s.began)
	c, err := s.ask.Counters(ctx)
	if err != nil {
		return x, err
	}
	x.Goroutines, x.Flows, x.HalfOpen, x.Lingering = c.Goroutines, c.Connections, c.HalfOpen, c.Lingering
	x.Timers, x.Held, x.Buffers, x.Opened, x.Closed = c.Timers, c.Held, c.BufferOctets, c.Opened, c.Closed
	x.Overruns, x.LostOut, x.Verdicts, x.SendErrors = c.Edge.Overruns, c.Edge.LostOut, c.Edge.VerdictErrors, c.SendErrors
	for _, q := range c.Queues {
		x.Waiting += q.Waiting
		x.QueueFull += q.QueueFull
		x.SocketFull += q.SocketFull
	}
	if err := s.scrape(&x); err != nil {
		return x, err
	}
	if firewall {
		x.Firewall, err = s.firewallRules()
	}
	return x, errors.Join(err, s.process(&x))
}

// process reads what the kernel knows of the process.
func (s *sampler) process(x *Sample) error {
	folder := fmt.Sprintf("/proc/%d/", s.proxy.PID())
	status, err := os.ReadFile(folder + "status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			x.RSS = n << 10
		case "Threads:":
			x.Threads = int(n)
		}
	}
	files, err := os.ReadDir(folder + "fd")
	x.FDs = len(files)
	return err
}

// scrape reads the metrics of the Go runtime.
func (s *sampler) scrape(x *Sample) error {
	a, err := s.web.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", metricsPort))
	if err != nil {
		return err
	}
	defer a.Body.Close()
	values, err := metricsOf(a.Body)
	if err != nil {
		return err
	}
	// The collector's next goal is twice what it has left (GOGC=100), and never
	// less than 4 MiB.
	x.HeapLive = int64(values["go_memstats_next_gc_bytes"]) / 2
	x.CPU = time.Duration(values["process_cpu_seconds_total"] * float64(time.Second))
	x.collections = values["go_gc_duration_seconds_count"]
	if x.HeapLive == 0 || x.collections == 0 && x.CPU == 0 {
		return errors.New("the metrics say nothing of memory")
	}
	return nil
}

// metricsOf reads Prometheus's text format, of metrics without labels.
func metricsOf(r io.Reader) (map[string]float64, error) {
	out := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") || strings.Contains(name, "{") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		out[name] = v
	}
	return out, lines.Err()
}

func (s *sampler) firewallRules() (n int, err error) {
	for _, tool := range []string{"iptables-save", "ip6tables-save"} {
		out, err := s.lab.Gateway.Try(tool)
		if err != nil {
			return 0, fmt.Errorf("%s: %w: %s", tool, err, out)
		}
		n += strings.Count("\n"+out, "\n-A ")
	}
	return n, nil
}

// collected is a sample after the garbage collector has run twice, so that
// what it leaves is what is held.
func (s *sampler) collected(ctx context.Context) (Sample, error) {
	var x Sample
	if err := s.scrape(&x); err != nil {
		return x, err
	}
	want := x.collections + 2
	for i := 0; x.collections < want && ctx.Err() == nil; i++ {
		if i == scrapesForGC {
			return x, fmt.Errorf("no garbage was collected while the metrics were read %d times", i)
		}
		if err := s.scrape(&x); err != nil {
			return x, err
		}
	}
	return s.look(ctx, true)
}

// run takes samples until ctx is done, and tells each.
func (s *sampler) run(ctx context.Context, every time.Duration, failed func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		x, err := s.look(ctx, s.n%rulesEvery == 0)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed(err)
		} else {
			s.add(x)
		}
		s.n++
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *sampler) add(x Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, x)
}

// samples are those that were taken so far.
func (s *sampler) samples() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Sample(nil), s.list...)
}

// writeSamples writes samples as CSV.
func writeSamples(path string, list []Sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	err = w.Write(row)
	for i := range list {
		for k, c := range columns {
			row[k] = c.value(&list[i])
		}
		err = errors.Join(err, w.Write(row))
	}
	w.Flush()
	return errors.Join(err, w.Error(), f.Close())
}
