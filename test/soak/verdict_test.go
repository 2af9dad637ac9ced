package soak

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// series makes samples of an hour, every two seconds, with the memory that
// value says, in octets.
func series(value func(at time.Duration) float64) (list []Sample) {
	for at := time.Duration(0); at <= time.Hour; at += 2 * time.Second {
		list = append(list, Sample{At: at, RSS: int64(value(at))})
	}
	return list
}

func rssTrend(list []Sample, d time.Duration) trend {
	return trendOf("RSS", list, d, func(s *Sample) float64 { return float64(s.RSS) })
}

func TestTrend(t *testing.T) {
	d := rand.New(rand.NewPCG(1, 1))
	noise := func() float64 { return d.NormFloat64() * 5e6 }
	const base = 80e6
	for _, c := range []struct {
		name  string
		value func(at time.Duration) float64
		flat  bool
	}{
		{"noise", func(time.Duration) float64 { return base + noise() }, true},
		{"a warm-up", func(at time.Duration) float64 { return base*(1-math.Exp(-at.Minutes()/3)) + noise() }, true},
		{"one phase that needs much more", func(at time.Duration) float64 {
			if at > 50*time.Minute && at < 53*time.Minute {
				return 2*base + noise()
			}
			return base + noise()
		}, true},
		{"a busy end", func(at time.Duration) float64 {
			if at > 55*time.Minute {
				return 1.4*base + noise()
			}
			return base + noise()
		}, true},
		{"what falls", func(at time.Duration) float64 { return 2*base - at.Seconds()*1e4 + noise() }, true},
		// 30 connections a second, 256 octets of each.
		{"a leak", func(at time.Duration) float64 { return base + at.Seconds()*30*256*4 + noise() }, false},
		{"a leak that begins late", func(at time.Duration) float64 {
			return base + max(0, at.Seconds()-1200)*30*1024 + noise()
		}, false},
	} {
		x := rssTrend(series(c.value), time.Hour)
		if !x.judged {
			t.Errorf("%s: an hour is too short to judge", c.name)
		}
		if x.flat() != c.flat {
			t.Errorf("%s: flat is %v, want %v: %+v", c.name, x.flat(), c.flat, x)
		}
	}
	if x := rssTrend(series(func(at time.Duration) float64 { return at.Seconds() * 1e6 })[:20], 40*time.Second); x.judged || !x.flat() {
		t.Errorf("40 seconds are judged: %+v", x)
	}
}

func TestTheilSen(t *testing.T) {
	var at, v []float64
	for i := range 1000 {
		at, v = append(at, float64(i)), append(v, 3*float64(i)+7)
	}
	for i := range 100 {
		v[i*10] = 1e9
	}
	if got := theilSen(at, v); math.Abs(got-3) > 0.01 {
		t.Errorf("the slope is %v, want 3", got)
	}
	if got := theilSen(nil, nil); got != 0 {
		t.Errorf("the slope of nothing is %v", got)
	}
}

// Each of what must be as at the start is looked at.
func TestWhatIsLeftIsSeen(t *testing.T) {
	start := Sample{FDs: 20, Goroutines: 30, Firewall: 9, Buffers: 1000, Opened: 2, Closed: 2}
	end := start
	end.Opened, end.Closed = 100, 100
	if wrong := left(&start, &end); wrong != nil {
		t.Errorf("nothing is left, and this is wrong: %v", wrong)
	}
	for name, change := range map[string]func(*Sample){
		"flows":            func(s *Sample) { s.Flows = 1 },
		"half-open":        func(s *Sample) { s.HalfOpen = 1 },
		"TIME-WAIT":        func(s *Sample) { s.Lingering = 1 },
		"timers":           func(s *Sample) { s.Timers = 1 },
		"held":             func(s *Sample) { s.Held = 1 },
		"NFQUEUE":          func(s *Sample) { s.Waiting = 1 },
		"verdicts":         func(s *Sample) { s.Verdicts = 1 },
		"closed":           func(s *Sample) { s.Opened++ },
		"buffers":          func(s *Sample) { s.Buffers++ },
		"file descriptors": func(s *Sample) { s.FDs++ },
		"goroutines":       func(s *Sample) { s.Goroutines++ },
		"firewall":         func(s *Sample) { s.Firewall-- },
	} {
		bad := end
		change(&bad)
		if wrong := left(&start, &bad); len(wrong) != 1 || !strings.Contains(wrong[0], name) {
			t.Errorf("%s: seen is %v", name, wrong)
		}
	}
}

// good is a run with which nothing is wrong.
func good() *Result {
	r := &Result{shards: 2, plan: Plan{Duration: time.Hour, Seed: 3, Load: 1}, tally: newTally(io.Discard), fired: map[string]uint64{"delay": 5}}
	for _, k := range kinds {
		r.tally.note(k.name+", plain", fine, 10, nil)
	}
	r.start = Sample{RSS: 50 << 20, HeapLive: 10 << 20}
	end := r.start
	end.At = time.Hour
	r.end = &end
	r.samples = series(func(time.Duration) float64 { return 80e6 })
	r.trends = []trend{rssTrend(r.samples, time.Hour)}
	return r
}

func TestVerdict(t *testing.T) {
	if wrong := good().verdict(); wrong != nil {
		t.Fatalf("a good run does not pass: %v", wrong)
	}
	if text := good().Text(); !strings.Contains(text, "**PASS**") || !strings.Contains(text, "delay 5") {
		t.Errorf("the report of a good run:\n%s", text)
	}
	for name, change := range map[string]func(*Result){
		"corrupted": func(r *Result) { r.tally.note("short, plain", corrupted, 0, errWrong) },
		"hung":      func(r *Result) { r.tally.note("short, plain", hung, 0, os.ErrDeadlineExceeded) },
		"broken":    func(r *Result) { r.tally.fail("sample", errors.New("no answer")) },
		"went as":   func(r *Result) { r.tally.counts["bulk, plain"][fine] = 0 },
		"no fault":  func(r *Result) { r.fired = nil },
		"1 flows":   func(r *Result) { r.end.Flows = 1 },
		"the heap":  func(r *Result) { r.end.HeapLive += 2*heldMemory + 1 },
		"not flat": func(r *Result) {
			r.trends[0] = rssTrend(series(func(at time.Duration) float64 { return at.Seconds() * 1e5 }), time.Hour)
		},
		"of its own": func(r *Result) { r.problems = []string{"of its own"} },
	} {
		r := good()
		change(r)
		if text := r.Text(); !r.Failed() || !strings.Contains(text, "**FAIL**") || !strings.Contains(text, name) {
			t.Errorf("%s does not make a run fail:\n%s", name, text)
		}
	}
}

// What an error means depends on what rules may do to the connection.
func TestJudge(t *testing.T) {
	wrong := fmt.Errorf("somewhere: %w", errWrong)
	for _, c := range []struct {
		err  error
		want [classes]outcome
	}{
		{nil, [classes]outcome{fine, fine, fine, fine}},
		{wrong, [classes]outcome{corrupted, corrupted, corrupted, corrupted}},
		{errors.Join(unix.ECONNRESET, wrong), [classes]outcome{corrupted, corrupted, corrupted, corrupted}},
		{os.ErrDeadlineExceeded, [classes]outcome{hung, hung, hung, gaveUp}},
		{unix.ECONNRESET, [classes]outcome{broken, broken, byRule, byRule}},
	} {
		for k, want := range c.want {
			if got := judge(class(k), c.err); got != want {
				t.Errorf("%v on a connection of the %v class is %v, want %v", c.err, class(k), got, want)
			}
		}
	}
}

func TestClassOfPort(t *testing.T) {
	for c := range classes {
		for i := range portsOfClass {
			if got := classOf(c.port(i)); got != c {
				t.Errorf("port %d is of the %v class, want %v", c.port(i), got, c)
			}
		}
	}
	for port, want := range map[uint16]class{webPort: plain, webMendedPort: mended, idlePort: plain, closedPort: plain} {
		if got := classOf(port); got != want {
			t.Errorf("port %d is of the %v class, want %v", port, got, want)
		}
	}
}

func TestKindOfFault(t *testing.T) {
	for text, want := range map[string]string{
		"client fin delay by 1s":          "delay",
		"server in data drop first 1":     "drop",
		"to client throttle rate 1":       "throttle",
		"client established fin after 1s": "fin",
	} {
		if got := kindOf(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestMetricsAndSamples(t *testing.T) {
	got, err := metricsOf(strings.NewReader("# HELP x y\nx 1.5e+06\ny{z=\"1\"} 2\n"))
	if err != nil || len(got) != 1 || got["x"] != 1.5e6 {
		t.Errorf("metrics are %v, %v", got, err)
	}
	if _, err := metricsOf(strings.NewReader("x one\n")); err == nil {
		t.Error("a value that is no number is taken")
	}
	path := filepath.Join(t.TempDir(), "samples.csv")
	if err := writeSamples(path, []Sample{{At: 1500 * time.Millisecond, RSS: 42}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(string(b), "\n"); !strings.HasPrefix(lines[0], "seconds,rss,") || !strings.HasPrefix(lines[1], "1.5,42,") {
		t.Errorf("the file is\n%s", b)
	}
}

func TestPlan(t *testing.T) {
	for _, p := range []Plan{{Duration: time.Second, Load: 1}, {Duration: 25 * time.Hour, Load: 1}, {Duration: time.Hour}, {Duration: time.Hour, Load: 21}, {Duration: time.Hour, Load: math.NaN()}} {
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	p := Plan{Duration: time.Hour, Load: 1, Seed: 5}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if a, b := p.stream("x").Uint64(), p.stream("x").Uint64(); a != b {
		t.Error("the same stream draws differently")
	}
	if a, b := p.stream("x").Uint64(), p.stream("y").Uint64(); a == b {
		t.Error("two streams draw the same")
	}
}
