package control

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tcpmitm/config"
	"tcpmitm/rules"
)

const bookFile = `
[[rule]]
name = "a"
match = { ports = [80], probability = 0.5 }
faults = [{ leg = "client", on = "fin", do = "delay", by = "1s" }]
[[rule]]
name = "b"
enabled = false
[[rule]]
name = "timed"
timeline = [{ at = "1h" }]
`

// book is a rulebook on a file of its own.
type book struct {
	*Rulebook
	t       *testing.T
	path    string
	log     bytes.Buffer
	inForce atomic.Pointer[rules.Set]
}

func newBook(t *testing.T) *book {
	b := &book{t: t, path: filepath.Join(t.TempDir(), "c.toml")}
	b.write(bookFile)
	conf, err := config.Load(b.path)
	if err != nil {
		t.Fatal(err)
	}
	b.Rulebook = NewRulebook(conf, &b.inForce, time.Now(), func() (*config.Config, error) { return config.Load(b.path) },
		slog.New(slog.NewTextHandler(&b.log, nil)))
	return b
}

func (b *book) write(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// meets is the rule that a new connection meets.
func (b *book) meets() *rules.Rule {
	r, _ := b.inForce.Load().First(rules.Conn{Client: netip.MustParseAddrPort("192.0.2.1:1024"), Server: netip.MustParseAddrPort("192.0.2.2:80")})
	return r
}

func (b *book) wantMeets(why, name string) *rules.Rule {
	b.t.Helper()
	r, got := b.meets(), ""
	if r != nil {
		got = r.Name
	}
	if got != name {
		b.t.Errorf("%s: a connection meets %q, want %q", why, got, name)
	}
	return r
}

func (b *book) wantLog(why, text string) {
	b.t.Helper()
	if !strings.Contains(b.log.String(), text) {
		b.t.Errorf("%s: the log lacks %q:\n%s", why, text, b.log.String())
	}
}

func TestSwitch(t *testing.T) {
	b := newBook(t)
	b.Set("a", []string{"probability=1"}, nil, false)
	live := b.wantMeets("at first", "a")
	if r, err := b.Switch("a", false, false); err != nil || r.Enabled || r.InForce || r.Taken != 1 {
		t.Errorf("disable: %+v, %v", r, err)
	}
	b.wantMeets("disabled", "")
	if live.Stopped() {
		t.Error("a disabled rule acts no more on open connections, which nobody said")
	}
	woken := 0
	b.OnStop(func() { woken++ })
	if r, err := b.Switch("a", false, true); err != nil || !r.Stopped || !live.Stopped() || woken != 1 {
		t.Errorf("disable --live: %+v, %v, woken %d times", r, err, woken)
	}
	// For new connections only: the old ones stay without.
	if r, err := b.Switch("a", true, false); err != nil || !r.Enabled || r.Stopped {
		t.Errorf("enable: %+v, %v", r, err)
	}
	next := b.wantMeets("enabled again", "a")
	if !live.Stopped() || next.Stopped() || next.Taken() != 2 {
		t.Errorf("enable: old stopped %v, new stopped %v, taken %d", live.Stopped(), next.Stopped(), next.Taken())
	}
	b.Switch("a", false, true)
	b.Switch("a", true, true)
	if live.Stopped() || next.Stopped() {
		t.Error("enable --live does not take up the faults again")
	}
	b.Switch("a", false, false)
	if _, err := b.Switch("b", true, false); err != nil {
		t.Error(err)
	}
	b.wantMeets("b was off in the file", "b")
	if _, err := b.Switch("c", true, false); err == nil || !strings.Contains(err.Error(), `no rule is called "c"`) {
		t.Errorf("a rule that is not there: %v", err)
	}
	b.wantLog("a switch", `msg="rule enabled" rule=b live=false`)
	b.wantLog("a switch", `msg="rule disabled" rule=a live=true`)
}

func TestSet(t *testing.T) {
	b := newBook(t)
	b.Set("a", []string{"probability=1"}, nil, false)
	old := b.wantMeets("probability 1", "a")
	if r, err := b.Set("a", []string{"faults.1.by=3s"}, nil, true); err != nil || r.Taken != 1 {
		t.Errorf("set: %+v, %v", r, err)
	}
	next := b.wantMeets("changed", "a")
	if !old.Stopped() || next.Stopped() || old.Faults[0].By != time.Second || next.Faults[0].By != 3*time.Second {
		t.Error("set --live does not end what the rule did before")
	}
	before := b.inForce.Load()
	if _, err := b.Set("a", []string{"probability=2"}, nil, true); err == nil || b.inForce.Load() != before || next.Stopped() {
		t.Errorf("a wrong change: %v", err)
	}
}

func TestReload(t *testing.T) {
	b := newBook(t)
	b.Set("a", []string{"probability=1"}, nil, false)
	old := b.wantMeets("at first", "a")
	b.Switch("b", true, false)

	b.write("[[rule]]\nname = \"a\"\nfaults = [{ leg = \"client\", on = \"fin\" }]")
	before := b.inForce.Load()
	_, err := b.Reload(true)
	var wrong *config.Error
	if !errors.As(err, &wrong) || b.inForce.Load() != before || old.Stopped() {
		t.Errorf("a wrong file: %v", err)
	}
	b.wantLog("a wrong file", "c.toml:3:11: do is missing in fault 1")

	b.write("[intercept]\nports = [80]\n" + bookFile + "[[rule]]\nname = \"new\"\n")
	r, err := b.Reload(false)
	want := &Reloaded{Rules: 4, Restart: []string{"intercept.ports"}, Undone: []string{"a", "b"}}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("reload: %+v, %v; want %+v", r, err, want)
	}
	b.wantLog("a reload", "only a restart brings it into force: intercept.ports")
	b.wantLog("a reload", `rule \"b\" was changed while tcpmitm ran`)
	list := b.List().List
	if len(list) != 4 || list[0].Taken != 1 || list[1].Enabled || old.Stopped() {
		t.Errorf("after the reload: %+v, old stopped %v", list, old.Stopped())
	}

	// Still not restarted, and nothing undone any more.
	if r, err = b.Reload(true); err != nil || len(r.Restart) != 1 || len(r.Undone) != 0 || !old.Stopped() {
		t.Errorf("reload --live: %+v, %v, old stopped %v", r, err, old.Stopped())
	}
	if b.inForce.Load().Rules()[0].Stopped() {
		t.Error("reload --live stops the new rules too")
	}

	b.Rulebook.load = nil
	if _, err := b.Reload(false); !errors.Is(err, ErrNoFile) {
		t.Errorf("without a file: %v", err)
	}
}

func TestListTable(t *testing.T) {
	b := newBook(t)
	b.Switch("a", false, true)
	var out strings.Builder
	if err := b.List().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	want := "RULE   ACTION  STATE         REACHED  TAKEN  FAULTS  STREAM  FIRED\n" +
		"a      splice  off, stopped  0        0      1       0       0\n" +
		"b      splice  off           0        0      0       0       0\n" +
		"timed  splice  on in 1h0m0s  0        0      0       0       0\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	for want, r := range map[string]Rule{
		"on":        {Enabled: true, InForce: true},
		"on for 2s": {Enabled: true, InForce: true, Changes: 2},
		"over":      {Enabled: true},
	} {
		if got := r.state(); !strings.HasPrefix(got, strings.TrimSuffix(want, "s")) {
			t.Errorf("state %q, want %q", got, want)
		}
	}
}

// Everything also works over the socket.
func TestRulesOverTheSocket(t *testing.T) {
	g := newGateway(t, 1, nil)
	b := newBook(t)
	g.Source.Rulebook = b.Rulebook
	path := startServer(t, g)
	c, ctx := NewClient(path), context.Background()
	if list, err := c.Rules(ctx); err != nil || len(list.List) != 3 || list.List[0].Faults != 1 {
		t.Errorf("list: %+v, %v", list, err)
	}
	b.inForce.Load().Rules()[0].Fire(0)
	if list, err := c.Rules(ctx); err != nil || len(list.List[0].Each) != 1 || list.List[0].Each[0].Count != 1 || list.List[0].Each[0].Text == "" {
		t.Errorf("what each fault has done: %+v, %v", list, err)
	}
	if r, err := c.SwitchRule(ctx, "a", false, true); err != nil || r.Enabled || !r.Stopped {
		t.Errorf("disable: %+v, %v", r, err)
	}
	if r, err := c.SwitchRule(ctx, "a", true, false); err != nil || !r.Enabled || r.Stopped {
		t.Errorf("enable: %+v, %v", r, err)
	}
	if r, err := c.SetRule(ctx, &RuleChange{Name: "a", Set: []string{"seed=5"}, Unset: []string{"probability"}}); err != nil || r.Name != "a" {
		t.Errorf("set: %+v, %v", r, err)
	}
	if r := b.inForce.Load().Rules()[0]; r.Seed != 5 || r.Match.Probability != 1 {
		t.Errorf("set: seed %d, probability %v", r.Seed, r.Match.Probability)
	}
	if r, err := c.ReloadRules(ctx, false); err != nil || r.Rules != 3 || len(r.Undone) != 1 {
		t.Errorf("reload: %+v, %v", r, err)
	}
	for _, v := range []struct {
		request string
		status  int
		says    string
	}{
		{`{"name": "x"}`, 404, "no rule is called"},
		{`{"name": "a", "set": ["seed=-1"]}`, 422, "rule set: seed in rule"},
		{`{"nmae": "a"}`, 400, "the body is not JSON such as"},
		{`seed=1`, 400, "the body is not JSON such as"},
		{`{"name": "a"} {"name": "b"}`, 400, "more than one"},
		{`{"name": "` + strings.Repeat("x", maxBodyOctets) + `"}`, 413, "more than 65536 octets"},
	} {
		status, body := raw(t, path, "POST /v1/rules/set HTTP/1.0\r\nContent-Length: "+strconv.Itoa(len(v.request))+"\r\n\r\n"+v.request)
		if status != v.status || !strings.Contains(body, v.says) {
			t.Errorf("%s: %d %s, want %d and %q", v.request, status, body, v.status, v.says)
		}
	}
	g.Source.Rulebook = nil
	if _, err := c.Rules(ctx); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("without a rulebook: %v", err)
	}
}
