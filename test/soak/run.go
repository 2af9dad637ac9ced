package soak

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tcpmitm/control"
	"tcpmitm/test/lab"
)

const (
	// progressEvery is how often a run says how it is getting on.
	progressEvery = time.Minute
	// lastWait bounds how long the last connections may take.
	lastWait = 3 * time.Minute
	// runSpare is what a run takes beside its traffic, at most.
	runSpare = 15 * time.Minute
)

// soak is a run.
type soak struct {
	t       testing.TB
	say     io.Writer
	plan    Plan
	lab     *lab.Lab
	proxy   *lab.Proxy
	sampler *sampler
	traffic *traffic
	conduct *conductor
	result  *Result
}

// Run makes a lab, lets the traffic go on, and says what has become of
// tcpmitm. The lab goes with the test. Progress is written to say.
func Run(t testing.TB, plan Plan, say io.Writer) *Result {
	t.Helper()
	if err := plan.Check(); err != nil {
		t.Fatal(err)
	}
	lab.ProcessLimit = plan.Duration + runSpare
	s := &soak{t: t, say: say, plan: plan}
	s.begin()
	s.carry()
	s.rest()
	s.stop()
	return s.result
}

// begin makes all that is needed, and looks at tcpmitm before the traffic.
func (s *soak) begin() {
	s.t.Helper()
	s.lab = lab.New(s.t, lab.Options{Sysctls: map[string]string{"net.ipv4.ip_local_port_range": ephemeral}})
	s.plan.journal = s.lab.Path("journal")
	tally := newTally(s.say)
	s.result = &Result{plan: s.plan, began: time.Now(), tally: tally}
	srv := newServer(s.plan.waits(), tally)
	srv.listen(s.lab)
	s.proxy = s.lab.StartProxy(gatewayText(&s.plan) + drawRules(&s.plan, 0, false, false))
	s.sampler = newSampler(s.lab, s.proxy)
	s.traffic = &traffic{plan: &s.plan, lab: s.lab, proxy: s.proxy, client: &client{s.lab, s.plan.waits()}, server: srv, tally: tally}
	s.conduct = &conductor{plan: &s.plan, lab: s.lab, proxy: s.proxy, ask: control.NewClient(s.proxy.Socket), tally: tally, fired: map[string]uint64{}}
	if err := s.traffic.startWeb(); err != nil {
		s.t.Fatal(err)
	}
	s.traffic.deafen()
	// The first connections and questions bring what is made once and kept.
	for _, f := range []lab.Family{lab.IPv4, lab.IPv6} {
		if err := s.traffic.client.carry(f, plain.port(1), order{id: 1, up: 1000, down: 1000}, 0); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := s.conduct.ask.Rules(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	counters, err := s.conduct.ask.Counters(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	s.result.version, s.result.shards = counters.Version, counters.Shards
	if s.result.start, err = s.sampler.collected(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// carry has the traffic go on for the time of the plan.
func (s *soak) carry() {
	ctx, cancel := context.WithTimeout(context.Background(), s.plan.Duration)
	defer cancel()
	now := time.Now()
	s.sampler.began, s.conduct.begun, s.traffic.tally.began, s.traffic.quit = now, now, now, ctx
	sampling, stopSampling := context.WithCancel(context.Background())
	var all, looks sync.WaitGroup
	looks.Go(func() {
		s.sampler.run(sampling, s.plan.sampleEvery(), func(err error) { s.traffic.tally.fail("sample", err) })
	})
	looks.Go(func() { s.progress(sampling) })
	all.Go(func() { s.traffic.idlers(ctx) })
	all.Go(func() { s.traffic.generate(ctx) })
	s.conduct.run(ctx)
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(lastWait):
		s.result.problems = append(s.result.problems, fmt.Sprintf("clients still wait %v after the end of the traffic", lastWait))
	}
	s.conduct.collect()
	s.traffic.web.CloseIdleConnections()
	stopSampling()
	looks.Wait()
	s.result.samples = s.sampler.samples()
	s.result.fired = s.conduct.fired
	c := s.conduct
	s.result.phases, s.result.calm, s.result.rough = c.phases, c.calm, c.rough
	s.result.reloads, s.result.changes, s.result.refused = c.reloads, c.changes, c.refused
	s.result.trends = []trend{
		trendOf("RSS", s.result.samples, s.plan.Duration, func(x *Sample) float64 { return float64(x.RSS) }),
		trendOf("heap, live", s.result.samples, s.plan.Duration, func(x *Sample) float64 { return float64(x.HeapLive) }),
	}
}

// progress says every minute how it is going.
func (s *soak) progress(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list := s.sampler.samples()
		if len(list) == 0 {
			continue
		}
		x := list[len(list)-1]
		n, octets := s.traffic.tally.total()
		fmt.Fprintf(s.say, "soak: %v of %v: %d pieces of traffic as meant, %d ended by rules, %d given up, %d FAILED, %.0f MB; RSS %s, heap %s, %d fds, %d goroutines, %d flows, CPU %.0f s\n",
			x.At.Round(time.Second), s.plan.Duration, n[fine], n[byRule], n[gaveUp], n[broken]+n[hung]+n[corrupted], float64(octets)/1e6,
			mib(float64(x.RSS)), mib(float64(x.HeapLive)), x.FDs, x.Goroutines, x.Flows, x.CPU.Seconds())
	}
}

// rest waits until nothing is left of the traffic, or too long.
func (s *soak) rest() {
	began := time.Now()
	fmt.Fprintf(s.say, "soak: the traffic is over; at rest for at most %v\n", s.plan.restLimit())
	ctx := context.Background()
	var x Sample
	for {
		var err error
		if x, err = s.sampler.look(ctx, true); err != nil {
			s.result.problems = append(s.result.problems, err.Error())
			return
		}
		s.sampler.add(x)
		servers := s.traffic.server.left()
		if len(left(&s.result.start, &x)) == 0 && servers == [classes]int{} {
			break
		}
		if time.Since(began) > s.plan.restLimit() {
			if servers != [classes]int{} {
				s.result.problems = append(s.result.problems, fmt.Sprintf("connections open at the server, by class: %v", servers))
			}
			s.result.problems = append(s.result.problems, "what is left:\n"+s.proxy.SS("-a"))
			break
		}
		time.Sleep(time.Second)
	}
	s.result.rested = time.Since(began)
	x, err := s.sampler.collected(ctx)
	if err != nil {
		s.result.problems = append(s.result.problems, err.Error())
		return
	}
	s.sampler.add(x)
	s.result.end = &x
	s.result.samples = s.sampler.samples()
}

// stop ends tcpmitm, which must leave nothing, and keeps what was seen.
func (s *soak) stop() {
	before := s.t.Failed()
	s.proxy.Stop(syscall.SIGTERM)
	if !before && s.t.Failed() {
		s.result.problems = append(s.result.problems, "tcpmitm did not end well: see what the test says")
	}
	if s.plan.Folder == "" {
		return
	}
	name := filepath.Join(s.plan.Folder, fmt.Sprintf("%s-seed-%d", s.result.began.Format("20060102-150405"), s.plan.Seed))
	if err := os.MkdirAll(s.plan.Folder, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := writeSamples(name+".csv", s.result.samples); err != nil {
		s.t.Error(err)
	}
	if err := os.WriteFile(name+".md", []byte(strings.TrimLeft(s.result.Text(), "\n")), 0o644); err != nil {
		s.t.Error(err)
	}
	fmt.Fprintf(s.say, "soak: report and samples are in %s.md and .csv\n", name)
	if s.t.Failed() || s.result.Failed() {
		if err := os.WriteFile(name+".log", []byte(s.proxy.Log()), 0o644); err != nil {
			s.t.Error(err)
		}
	}
}
