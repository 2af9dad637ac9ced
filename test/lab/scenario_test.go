package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scenarioFolder holds one configuration for each fault and policy, for
// people to read and run; each has a test here.
const scenarioFolder = "../../scenarios"

// A scenario runs curl against nginx through a gateway with one of the
// configurations, and judges by what both hosts' kernels saw on the wire.
type scenario struct {
	file   string // name of the configuration, without .toml
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
}

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
}

// scenarios are all of them; the parts are in scenario_*_test.go.
var scenarios = slices.Concat(segmentScenarios)

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
	size := s.size
	if size == 0 {
		size = 64 << 10
	}
	payload(t, www+"/file.bin", 5, size)
	e := &evidence{lab: l, proxy: l.StartProxy(string(config))}
	if Plain {
		return
	}
	e.captures = [2]*Capture{l.Client.Capture(clientDevice, "tcp or icmp"), l.Server.Capture(serverDevice, "tcp or icmp")}
	s.run(t, e, www)
	time.Sleep(s.wait)
	e.client, e.server = e.captures[0].Frames(), e.captures[1].Frames()
	if e.exit != s.exit {
		t.Errorf("curl ended with %d after %v, want %d\n%s", e.exit, e.took, s.exit, Dump(e.client))
	}
	if same := string(e.got) == string(e.sent); s.exit == 0 && same == s.changed {
		t.Errorf("%d octets were sent and %d arrived; the same: %v", len(e.sent), len(e.got), same)
	}
	if s.judge != nil {
		s.judge(t, e)
	}
	if t.Failed() {
		t.Logf("client:\n%sserver:\n%s", Dump(e.client), Dump(e.server))
	}
}

// run moves the file.
func (s *scenario) run(t *testing.T, e *evidence, www string) {
	l := e.lab
	url := "http://" + hostPort(IPv4.At(80))
	args := []string{"-sS", "--max-time", "20"}
	from, to := www+"/file.bin", l.Path("arrived.bin")
	if s.upload {
		to = www + "/up/file.bin"
		args = append(args, "-H", "Expect:", "-T", from, url+"/up/file.bin")
	} else {
		args = append(args, "-o", to, url+"/file.bin")
	}
	began := time.Now()
	out, err := l.Client.Try("curl", append(args, s.curl...)...)
	e.took = time.Since(began)
	e.exit = exitCode(err)
	if e.exit != s.exit {
		t.Logf("curl said: %s", tail(out))
	}
	e.sent, _ = os.ReadFile(from)
	e.got, _ = os.ReadFile(to)
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

// wantApart wants the first frame of b to come so long after the first of a.
func wantApart(t *testing.T, why string, a, b []Frame, by time.Duration) {
	t.Helper()
	if len(a) == 0 || len(b) == 0 {
		t.Errorf("%s: %d and %d frames seen", why, len(a), len(b))
		return
	}
	if d := b[0].At.Sub(a[0].At); d < by-early || d > by+late {
		t.Errorf("%s: %v apart, want %v (tolerance -%v, +%v)", why, d, by, early, late)
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
