package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// scenarioFolder holds one configuration for each fault and policy, for
// people to read and run; each has a test here.
const scenarioFolder = "../../scenarios"

// A scenario runs curl against nginx through a gateway with one of the
// configurations, and judges by what both hosts' kernels saw on the wire.
type scenario struct {
	file   string // name of the configuration, without .toml; of a part, its own
	size   int64  // of the file that is moved; 0: 64 KiB
	upload bool
	curl   []string // more arguments of curl
	exit   int      // what curl must end with; 0: and the file must be right
	// changed says that the octets must not be those that were sent.
	changed bool
	options Options
	// wait is how long the wire is watched after curl has ended.
	wait time.Duration
	// judge looks at what happened.
	judge func(t *testing.T, e *evidence)

	// parts are played at the same time in one lab, each on a port of its own,
	// which a rule of the configuration is for; each has its own evidence.
	parts []scenario
	port  uint16 // of the server; 0: 80
	slow  bool   // nginx sends 256 KiB a second, in pieces of 32
	// nc: netcat moves the file, and the server is a plain one that closes when
	// it has sent, or got, all. Its ports are from 7000 on, nginx's from 8000.
	nc bool
	// content is what is moved, instead of random octets.
	content func() []byte
	// want is what must arrive of it; nil: the same.
	want func(sent []byte) []byte
	// run is done instead of moving a file. It is not to end the test's
	// goroutine, which is another one.
	run func(t *testing.T, e *evidence)
	// serve answers connections on the port instead of nginx.
	serve func(c *net.TCPConn)
}

// anyFailure as exit: whatever, but not success.
const anyFailure = -2

// evidence is what a scenario leaves behind.
type evidence struct {
	client, server []Frame // as these hosts' devices saw them
	captures       [2]*Capture
	took           time.Duration
	exit           int
	got            []byte // the file as it arrived, where it was downloaded
	sent           []byte
	lab            *Lab
	proxy          *Proxy
	at             netip.AddrPort // the server
	arrived        chan []byte    // what a plain server has got
}

// scenarios are all of them; the parts are in scenario_*_test.go.
var scenarios = slices.Concat(segmentScenarios, momentScenarios, profileScenarios, streamScenarios, closeScenarios)

// TestScenarios plays all scenarios, and wants one for each configuration.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(scenarioFolder + "/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations in %s: %v", scenarioFolder, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".toml")
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.file == name }) {
			t.Errorf("%s has no test", f)
		}
	}
	for _, s := range scenarios {
		t.Run(s.file, func(t *testing.T) {
			t.Parallel()
			s.play(t)
		})
	}
}

func (s *scenario) play(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(scenarioFolder, s.file+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	s.options.NoOffload = true // what a real wire would show
	l := New(t, s.options)
	www := startNginx(t, l)
	parts := s.parts
	if len(parts) == 0 {
		parts = []scenario{*s}
	}
	wantAllRulesPlayed(t, string(config), parts)
	evidences := make([]*evidence, len(parts))
	for i := range parts {
		evidences[i] = parts[i].prepare(t, l, www)
	}
	proxy := l.StartProxy(string(config))
	if Plain {
		return
	}
	captures := [2]*Capture{l.Client.Capture(clientDevice, "tcp or icmp"), l.Server.Capture(serverDevice, "tcp or icmp")}
	var all sync.WaitGroup
	for i := range parts {
		evidences[i].proxy, evidences[i].captures = proxy, captures
		all.Go(func() { parts[i].move(t, evidences[i], www) })
	}
	all.Wait()
	time.Sleep(s.wait)
	client, server := captures[0].Frames(), captures[1].Frames()
	for i := range parts {
		e := evidences[i]
		if len(s.parts) == 0 {
			e.client, e.server = client, server
			parts[i].look(t, e)
			continue
		}
		e.client, e.server = about(client, e.at.Port()), about(server, e.at.Port())
		l.Sub(parts[i].file, func(t *testing.T) { parts[i].look(t, e) })
	}
}

// portOfRule finds the ports of the rules of a configuration.
var portOfRule = regexp.MustCompile(`(?m)^match\s*=\s*\{ ports = \[([0-9, ]+)\]`)

// wantAllRulesPlayed wants a part for each port that a rule of the
// configuration is for.
func wantAllRulesPlayed(t *testing.T, config string, parts []scenario) {
	t.Helper()
	n := 0
	for _, m := range portOfRule.FindAllStringSubmatch(config, -1) {
		for port := range strings.SplitSeq(m[1], ",") {
			n++
			if !slices.ContainsFunc(parts, func(p scenario) bool {
				return fmt.Sprint(p.port) == strings.TrimSpace(port) || p.port == 0 && port == "80"
			}) {
				t.Errorf("no part of the test is on port %s", port)
			}
		}
	}
	if n != len(parts) {
		t.Errorf("the rules have %d ports, the test has %d parts", n, len(parts))
	}
}

// about selects the frames of one server port, ICMP errors about it included.
func about(frames []Frame, port uint16) []Frame {
	return Select(frames, func(f *Frame) bool {
		return f.Src.Port() == port || f.Dst.Port() == port || f.ICMP && f.About == port
	})
}

// prepare makes the file and, where it is not nginx, the server.
func (s *scenario) prepare(t *testing.T, l *Lab, www string) *evidence {
	t.Helper()
	e := &evidence{lab: l, at: IPv4.At(80), arrived: make(chan []byte, 1)}
	if s.port != 0 {
		e.at = IPv4.At(s.port)
	}
	path := www + s.name()
	if s.content != nil {
		if err := os.WriteFile(path, s.content(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else {
		size := s.size
		if size == 0 {
			size = 64 << 10
		}
		payload(t, path, 5, size)
	}
	var err error
	if e.sent, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	switch {
	case s.serve != nil:
		serve(t, l.Server, e.at, s.serve)
	case s.nc && s.upload:
		serve(t, l.Server, e.at, func(c *net.TCPConn) {
			got, _ := io.ReadAll(c)
			e.arrived <- got
		})
	case s.nc:
		serve(t, l.Server, e.at, func(c *net.TCPConn) {
			_, _ = c.Write(e.sent)
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		})
	}
	return e
}

// name is that of the file under nginx's folder.
func (s *scenario) name() string { return fmt.Sprintf("/file-%d.bin", s.port) }

// move runs what moves the file, and takes what has arrived.
func (s *scenario) move(t *testing.T, e *evidence, www string) {
	began := time.Now()
	defer func() { e.took = time.Since(began) }()
	from := www + s.name()
	to := e.lab.Path(fmt.Sprintf("arrived-%d.bin", s.port))
	host, port := e.at.Addr().String(), fmt.Sprint(e.at.Port())
	switch {
	case s.run != nil:
		s.run(t, e)
		e.sent = nil
	case s.nc && s.upload:
		e.program(t, s.exit, "bash", "-c", "nc -N "+host+" "+port+" < "+from)
		select {
		case e.got = <-e.arrived:
		case <-time.After(soon):
		}
	case s.nc:
		e.program(t, s.exit, "bash", "-c", "nc -d "+host+" "+port+" > "+to)
		e.got, _ = os.ReadFile(to)
	default:
		url := "http://" + hostPort(e.at)
		args := []string{"-sS", "--max-time", "20"}
		switch {
		case s.upload:
			to = www + "/up" + s.name()
			args = append(args, "-H", "Expect:", "-T", from, url+"/up"+s.name())
		case s.slow:
			args = append(args, "-o", to, url+"/slow"+s.name())
		default:
			args = append(args, "-o", to, url+s.name())
		}
		e.program(t, s.exit, "curl", append(args, s.curl...)...)
		e.got, _ = os.ReadFile(to)
	}
}

// program runs a program on the client.
func (e *evidence) program(t *testing.T, exit int, name string, args ...string) {
	out, err := e.lab.Client.Try(name, args...)
	if e.exit = exitCode(err); e.exit != exit && (exit != anyFailure || e.exit == 0) {
		t.Logf("%s %v said: %s", name, args, tail(out))
	}
}

// look judges what has happened.
func (s *scenario) look(t *testing.T, e *evidence) {
	if e.exit != s.exit && (s.exit != anyFailure || e.exit == 0) {
		t.Errorf("the program ended with %d after %v, want %d", e.exit, e.took, s.exit)
	}
	want := e.sent
	if s.want != nil {
		want = s.want(e.sent)
	}
	if s.exit == 0 && !s.changed && sum(e.got) != sum(want) {
		t.Errorf("%d octets were sent; SHA-256 of the %d that arrived: %s, want %s", len(e.sent), len(e.got), sum(e.got), sum(want))
	}
	if s.changed && sum(e.got) == sum(e.sent) {
		t.Errorf("the %d octets that arrived are those that were sent", len(e.got))
	}
	if s.judge != nil {
		s.judge(t, e)
	}
	if t.Failed() {
		t.Logf("client:\n%sserver:\n%s", Dump(e.client), Dump(e.server))
	}
}

// pick selects frames by direction and shape.
func pick(frames []Frame, fromServer bool, fit func(*Frame) bool) []Frame {
	return Select(frames, func(f *Frame) bool { return !f.ICMP && f.fromServer() == fromServer && fit(f) })
}

// Shapes of frames.
func isSYN(f *Frame) bool     { return f.SYN && !f.ACK }
func isSYNACK(f *Frame) bool  { return f.SYN && f.ACK }
func isFIN(f *Frame) bool     { return f.FIN }
func isRST(f *Frame) bool     { return f.RST }
func isData(f *Frame) bool    { return f.Len > 0 }
func isAnything(*Frame) bool  { return true }
func isBareACK(f *Frame) bool { return f.ACK && f.Len == 0 && !f.SYN && !f.FIN && !f.RST }

// aheadBy is how much too close together frames may be seen: the first of two
// may have been held up on its way to where it was captured.
const aheadBy = 25 * time.Millisecond

// wantApart wants the first frame of b to come so long after the first of a.
func wantApart(t *testing.T, why string, a, b []Frame, by time.Duration) {
	t.Helper()
	if len(a) == 0 || len(b) == 0 {
		t.Errorf("%s: %d and %d frames seen", why, len(a), len(b))
		return
	}
	if d := b[0].At.Sub(a[0].At); d < by-aheadBy || d > by+late {
		t.Errorf("%s: %v apart, want %v (tolerance -%v, +%v)", why, d, by, aheadBy, late)
	}
}

// wantCount wants so many frames.
func wantCount(t *testing.T, why string, got []Frame, want int) {
	t.Helper()
	if len(got) != want {
		t.Errorf("%s: %d, want %d", why, len(got), want)
	}
}

// holesIn counts where the frames of one direction leave octets out that come
// later, if at all.
func holesIn(frames []Frame) (n int) {
	for i, end := 0, uint32(0); i < len(frames); i++ {
		f := &frames[i]
		if i > 0 && int32(f.Seq-end) > 0 {
			n++
		}
		if i == 0 || int32(f.Seq+uint32(f.Len)-end) > 0 {
			end = f.Seq + uint32(f.Len)
		}
	}
	return n
}

// again counts the frames whose octets have been there before in the same
// direction: retransmissions, as the wire shows them.
func again(frames []Frame) int {
	seen, n := map[string]bool{}, 0
	for _, f := range frames {
		if f.Len == 0 {
			continue
		}
		k := fmt.Sprint(f.Src, f.Seq)
		if seen[k] {
			n++
		}
		seen[k] = true
	}
	return n
}

// exitCode is what a command ended with; -1: it could not be run.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
