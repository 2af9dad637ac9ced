// Command bench measures tcpmitm and what it competes with, side by side: a
// client, a server, and a gateway for each contender, all in network
// namespaces of one machine. The contenders take turns, several rounds, and
// what is compared is taken from the same round, so that a machine that is
// slower for a while is slower for all of them. It wants root; see
// docs/speed.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// plan is how much is measured.
type plan struct {
	rounds  int
	stream  time.Duration // each of three
	web     int           // seconds, each of two
	ping    time.Duration
	idle    []int
	turns   int    // exchanges on these connections
	micro   string // time of a micro-benchmark
	only    string
	works   string
	folder  string // of programs that were built
	results string // file
}

var fullPlan = plan{rounds: 5, stream: 3 * time.Second, web: 3, ping: time.Second, idle: []int{10, 1000, 100000}, turns: 15000, micro: "1s"}

var quickPlan = plan{rounds: 2, stream: time.Second, web: 1, ping: 300 * time.Millisecond, idle: []int{10, 1000}, turns: 5000, micro: "300ms"}

// roles are what the program starts itself as, on the client and the server.
var roles = map[string]func([]string) error{roleEcho: echo, roleHold: hold}

func main() {
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			return
		}
	}
	p := fullPlan
	quick := flag.Bool("quick", false, "less of everything, in under three minutes")
	rounds := flag.Int("rounds", 0, "rounds, instead of the plan's")
	flag.StringVar(&p.only, "only", "", "contenders, for example plain,tcpmitm; empty is all")
	flag.StringVar(&p.works, "works", "", "works, for example one,new; empty is all: one, back, four, new, keep, ping, idle, micro")
	flag.StringVar(&p.folder, "folder", "bin/bench", "where the contenders are built")
	flag.StringVar(&p.results, "json", "bin/bench/results.json", "file for the results")
	flag.Parse()
	if *quick {
		only, works, folder, results := p.only, p.works, p.folder, p.results
		p = quickPlan
		p.only, p.works, p.folder, p.results = only, works, folder, results
	}
	if *rounds > 0 {
		p.rounds = min(*rounds, maxRounds)
	}
	if flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, &p); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p *plan) error {
	chosen, err := choose(p.only)
	if err != nil {
		return err
	}
	raiseFiles()
	say("building the contenders")
	t, err := build(ctx, p.folder, chosen)
	if err != nil {
		return err
	}
	b := &bench{plan: p, tools: t, results: newResults(p, chosen)}
	err = b.measure(ctx, chosen)
	if ctx.Err() != nil {
		return errors.New("interrupted, everything removed")
	}
	if err != nil {
		return err
	}
	if p.wants("micro") {
		say("cost of a segment by the number of flows")
		if err := b.results.runMicro(ctx, p.folder, p.micro); err != nil {
			b.results.fail("micro-benchmark", err)
		}
	}
	fmt.Print(b.results.text())
	if err := b.results.save(p.results); err != nil {
		return err
	}
	say("results in " + p.results)
	if n := len(b.results.Failures); n > 0 {
		return fmt.Errorf("%d measurements failed, see above", n)
	}
	return nil
}

func choose(only string) ([]*contender, error) {
	var chosen []*contender
	if only == "" {
		for _, c := range contenders {
			if !c.asked {
				chosen = append(chosen, c)
			}
		}
		return chosen, nil
	}
	for _, key := range strings.Split(only, ",") {
		found := false
		for _, c := range contenders {
			if c.key == key {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no contender is called %q", key)
		}
	}
	return chosen, nil
}

func (p *plan) wants(work string) bool {
	if p.works == "" {
		return true
	}
	for _, w := range strings.Split(p.works, ",") {
		if w == work {
			return true
		}
	}
	return false
}

func say(text string) { fmt.Println("== " + text) }

// bench is one run.
type bench struct {
	plan    *plan
	tools   *tools
	results *results
	lab     *lab
	echos   []*process
	streams *streamServer
	began   time.Time
}

// measure builds the lab, has all contenders do all works in all rounds, and
// takes the lab down again, whatever happens.
func (b *bench) measure(ctx context.Context, chosen []*contender) (err error) {
	say(fmt.Sprintf("lab: a client, a server, %d gateways", len(chosen)))
	b.lab, err = newLab(len(chosen))
	defer b.lab.close()
	if err != nil {
		return err
	}
	if err := b.serve(); err != nil {
		return err
	}
	defer b.streams.close()
	sites := make([]*site, len(chosen))
	for i, c := range chosen {
		sites[i] = &site{contender: c, lab: b.lab, gateway: b.lab.gateways[i], index: i, tools: b.tools, rounds: b.plan.rounds}
	}
	b.began = time.Now()
	for round := range b.plan.rounds {
		for i := range sites {
			// Nobody is always the first, or always after the same one.
			s := sites[(i+round)%len(sites)]
			if ctx.Err() != nil {
				return ctx.Err()
			}
			line, err := b.visit(ctx, s, round)
			if err != nil {
				b.results.fail(fmt.Sprintf("round %d, %s", round+1, s.name), err)
				line += " FAILED: " + firstLine(err)
			}
			b.progress(round, i, len(sites), s, line)
		}
	}
	if !b.plan.wants("idle") {
		return nil
	}
	for _, s := range sites {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := b.visitIdle(s)
		if err != nil {
			b.results.fail("idle connections, "+s.name, err)
			line += " FAILED: " + firstLine(err)
		}
		say(fmt.Sprintf("idle connections, %s:%s", s.name, line))
	}
	return nil
}

// serve starts what runs on the server.
func (b *bench) serve() (err error) {
	if err := b.startEchos(); err != nil {
		return err
	}
	if b.streams, err = startStreams(b.lab.server, fmt.Sprintf("%s:%d", serverAddress, streamPort)); err != nil {
		return err
	}
	config := b.lab.folder + "/nginx.conf"
	text := fmt.Sprintf(webConfig, b.lab.folder, serverAddress, webPort, webPort+b.plan.rounds-1)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	return startWeb(b.lab, config)
}

// startEchos starts as many echo servers as the connections need.
func (b *bench) startEchos() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{self, roleEcho, serverAddress, fmt.Sprint(echoPort)}
	for i := range idlePorts {
		args = append(args, fmt.Sprint(idlePort+i))
	}
	n := 1
	if b.plan.wants("idle") {
		n += slices.Max(b.plan.idle) / perProcess()
	}
	for range n {
		p, err := b.lab.start(b.lab.server, args...)
		if err != nil {
			return err
		}
		if err := p.until("ready", func() bool { return strings.Contains(p.output(), "ready") }); err != nil {
			return err
		}
		b.echos = append(b.echos, p)
	}
	return nil
}

func (b *bench) progress(round, i, n int, s *site, line string) {
	spent := time.Since(b.began)
	done := round*n + i + 1
	left := spent / time.Duration(done) * time.Duration(b.plan.rounds*n-done)
	say(fmt.Sprintf("round %d of %d, %s:%s (%v left)", round+1, b.plan.rounds, s.name, line, left.Round(time.Second)))
}

// visit is one contender's turn.
func (b *bench) visit(ctx context.Context, s *site, round int) (line string, err error) {
	defer s.down()
	if err := s.up(); err != nil {
		return "", err
	}
	var errs []error
	for _, w := range works {
		if ctx.Err() != nil || !b.plan.wants(w.key) {
			continue
		}
		text, err := w.run(b, s, round)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w.key, err))
			continue
		}
		line += " " + text + ";"
	}
	return line, errors.Join(errs...)
}

// work is one thing to do for each contender in each round.
type work struct {
	key string
	run func(b *bench, s *site, round int) (string, error)
}

var works = []work{
	{"one", streamWork("one", 1, upload)},
	{"back", streamWork("back", 1, download)},
	{"four", streamWork("four", 4, upload)},
	{"new", newWork},
	{"keep", keepWork},
	{"ping", pingWork},
}

func streamWork(key string, n int, direction byte) func(*bench, *site, int) (string, error) {
	return func(b *bench, s *site, round int) (string, error) {
		r, err := runStreams(s, b.streams, n, direction, b.plan.stream)
		if err != nil {
			return "", err
		}
		b.results.add(s.key, key, round, r.gigabits())
		if key == "one" {
			b.results.add(s.key, "cpu-gb", round, r.used.machine/r.gigabytes())
			b.results.addOwn(s, "own-gb", round, r.used.process/r.gigabytes())
		}
		return fmt.Sprintf("%s %.1f Gbit/s", key, r.gigabits()), nil
	}
}

func newWork(b *bench, s *site, round int) (string, error) {
	r, err := runWeb(s, webPort+round, "/once", b.plan.web)
	if err != nil {
		return "", err
	}
	b.results.note(s, "new connections", r.errors)
	b.results.add(s.key, "new", round, r.perSecond)
	b.results.add(s.key, "cpu-10k", round, r.used.machine/r.requests*10000)
	b.results.addOwn(s, "own-10k", round, r.used.process/r.requests*10000)
	return fmt.Sprintf("new %.0f/s", r.perSecond), nil
}

func keepWork(b *bench, s *site, round int) (string, error) {
	r, err := runWeb(s, webPort+round, "/", b.plan.web)
	if err != nil {
		return "", err
	}
	b.results.note(s, "requests", r.errors)
	b.results.add(s.key, "keep", round, r.perSecond)
	b.results.add(s.key, "p50", round, microseconds(r.p50))
	b.results.add(s.key, "p99", round, microseconds(r.p99))
	return fmt.Sprintf("keep %.0f/s, p99 %v", r.perSecond, r.p99), nil
}

func pingWork(b *bench, s *site, round int) (string, error) {
	d, err := runPing(s, b.plan.ping)
	if err != nil {
		return "", err
	}
	b.results.add(s.key, "ping", round, microseconds(d))
	return fmt.Sprintf("ping %v", d.Round(time.Microsecond)), nil
}

func (b *bench) visitIdle(s *site) (line string, err error) {
	defer func() {
		s.down()
		// What a contender has left behind must not stay in the memory of
		// the next one's machine.
		for _, e := range b.echos {
			_ = e.cmd.Process.Signal(syscall.SIGUSR1)
		}
		time.Sleep(idleSettle)
	}()
	if err := s.up(); err != nil {
		return "", err
	}
	list, err := runIdle(s, b.plan.idle, b.plan.turns)
	for _, r := range list {
		b.results.addIdle(s, r)
		line += fmt.Sprintf(" %d: %.1f MiB;", r.connections, float64(r.resident)/(1<<20))
	}
	return line, err
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
