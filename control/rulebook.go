package control

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tcpmitm/config"
	"tcpmitm/rules"
)

// Rulebook changes the rules of a running tcpmitm. A change is for new
// connections: those that there are keep the rules they were born with, unless
// the change says that it is for live ones.
type Rulebook struct {
	inForce *atomic.Pointer[rules.Set]
	started time.Time
	load    func() (*config.Config, error)
	log     *slog.Logger
	// wake is told that rules have been stopped, so that what they hold back on
	// live connections goes on; nil is nobody.
	wake func()

	mu      sync.Mutex
	running *config.Config  // what all but the rules come from
	current *config.Config  // what the rules come from
	edited  map[string]bool // rules that Set has changed since the file was read
}

// OnStop lets a function know that rules have been stopped, so that what they
// hold back on live connections goes on at once. It is set before anything is
// changed.
func (b *Rulebook) OnStop(wake func()) { b.wake = wake }

// stop ends what rules do to live connections.
func (b *Rulebook) stop(list ...*rules.Rule) {
	for _, r := range list {
		r.Stop()
	}
	if b.wake != nil {
		b.wake()
	}
}

// ErrNoFile means that there is no file to read again.
var ErrNoFile = errors.New("there is no file to read again: tcpmitm was started without --config")

// NewRulebook makes a rulebook of the configuration that tcpmitm started with,
// whose rules are in force from now on. load reads the file again; nil means
// that there is none.
func NewRulebook(conf *config.Config, inForce *atomic.Pointer[rules.Set], started time.Time,
	load func() (*config.Config, error), log *slog.Logger) *Rulebook {
	inForce.Store(conf.Rules)
	return &Rulebook{inForce: inForce, started: started, load: load, log: log, running: conf, current: conf, edited: map[string]bool{}}
}

// List tells of all rules.
func (b *Rulebook) List() *Rules {
	out := &Rules{List: []Rule{}}
	at := time.Since(b.started)
	for _, r := range b.inForce.Load().Rules() {
		out.List = append(out.List, ruleOf(r, at))
	}
	return out
}

// Switch enables or disables a rule for new connections. With live, a disabled
// rule's faults and policies end on the connections that there are, too, and
// the faults of an enabled one are taken up again; a stream policy that was
// ended stays ended for its connection.
func (b *Rulebook) Switch(name string, on, live bool) (*Rule, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := b.current.Find(name)
	if err != nil {
		return nil, err
	}
	switch {
	case !on && live:
		b.stop(r)
	case on && live:
		r.Resume()
	case on && r.Stopped():
		// New connections get the faults, and the old ones do not: that takes
		// a new version of the rule.
		next, err := b.current.Change(name, []string{"enabled = true"}, nil)
		if err != nil {
			return nil, err
		}
		b.use(next)
		r, _ = next.Find(name)
	}
	r.SetEnabled(on)
	if on {
		b.log.Info("rule enabled", "rule", name, "live", live)
	} else {
		b.log.Info("rule disabled", "rule", name, "live", live)
	}
	out := ruleOf(r, time.Since(b.started))
	return &out, nil
}

// Set changes what a rule says; see config.Config.Change. With live, the faults
// and policies of what it said before end on the connections that there are.
func (b *Rulebook) Set(name string, set, unset []string, live bool) (*Rule, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, err := b.current.Change(name, set, unset)
	if err != nil {
		return nil, err
	}
	if live {
		old, _ := b.current.Find(name)
		b.stop(old)
	}
	b.use(next)
	b.edited[name] = true
	r, _ := next.Find(name)
	b.log.Info("rule changed", "rule", name, "set", strings.Join(set, "; "), "unset", strings.Join(unset, "; "), "live", live)
	out := ruleOf(r, time.Since(b.started))
	return &out, nil
}

// Reload reads the file again and puts its rules in the place of all that
// there are, at once. Counters go on where a name stays. If anything in the
// file is wrong, everything stays as it is. With live, the faults and policies
// of the rules before end on the connections that there are.
func (b *Rulebook) Reload(live bool) (*Reloaded, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, err := b.read()
	if err != nil {
		b.refused(err)
		return nil, err
	}
	out := &Reloaded{Rules: next.Rules.Len(), Restart: config.Changed(b.running, next), Undone: b.undone(next)}
	if out.Restart == nil {
		out.Restart = []string{}
	}
	next.Rules.Succeed(b.current.Rules)
	if live {
		b.stop(b.current.Rules.Rules()...)
	}
	b.use(next)
	clear(b.edited)
	b.log.Info("rules read again", "rules", out.Rules, "live", live)
	for _, w := range out.Warnings() {
		b.log.Warn(w)
	}
	return out, nil
}

func (b *Rulebook) read() (*config.Config, error) {
	if b.load == nil {
		return nil, ErrNoFile
	}
	return b.load()
}

// refused says in the log why a file was refused.
func (b *Rulebook) refused(err error) {
	lines := []string{err.Error()}
	var wrong *config.Error
	if errors.As(err, &wrong) {
		lines = wrong.Lines()
	}
	for _, line := range lines {
		b.log.Error("not read again: the rules stay as they are", "error", line)
	}
}

// undone lists the rules that were switched or changed while tcpmitm runs, and
// that the file changes back.
func (b *Rulebook) undone(next *config.Config) []string {
	out := []string{}
	enabled := map[string]bool{}
	for _, r := range next.Rules.Rules() {
		enabled[r.Name] = r.Enabled()
	}
	for _, r := range b.current.Rules.Rules() {
		if on, there := enabled[r.Name]; there && (on != r.Enabled() || b.edited[r.Name]) {
			out = append(out, r.Name)
		}
	}
	return out
}

// use puts rules in force.
func (b *Rulebook) use(next *config.Config) {
	b.current = next
	b.inForce.Store(next.Rules)
}
