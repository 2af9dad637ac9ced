package trace

import (
	"fmt"
	"strings"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// live is what a selection looks at beside what every filter does.
type live struct {
	states    [2]endpoint.State
	idle, age time.Duration
}

// ParseSelection reads a filter that chooses among live connections. It has
// the words of ParseFilter but for leg and verdicts, which are about segments
// and ends, and beside them
//
//	state NAME          of either leg, as ss(8) or RFC 9293 name it
//	client state NAME
//	server state NAME
//	idle DURATION       for at least so long nothing has come from either peer
//	age DURATION        at least so old
func ParseSelection(text string) (*Filter, error) { return parse(text, true) }

// Chooses tells whether a selection means a connection.
func (f *Filter) Chooses(c *splice.Candidate) bool {
	return f == nil || f.root(&subject{
		conn: c.Conn, client: c.Client, server: c.Server, rule: c.Rule, bothLegs: true, fault: c.Fired,
		live: live{c.States, c.Idle, c.Age},
	})
}

// ofOthers tells of a word that this kind of filter does not have.
func (p *parser) ofOthers(w word) error {
	switch {
	case p.selects && (w.is("leg") || w.is("verdicts")):
		return fmt.Errorf("%w: %s is about segments and ends, and this chooses whole connections: leave it out", ErrFilter, w.text)
	case !p.selects && (w.is("state") || w.is("idle") || w.is("age")):
		return fmt.Errorf("%w: %s is about live connections as a whole: `tcpmitm ss` and `tcpmitm kill` have it", ErrFilter, w.text)
	}
	return nil
}

// whole reads a term that is about a live connection as a whole; nil is that
// there is none.
func (p *parser) whole(w word) (node, error) {
	switch {
	case !p.selects:
		return nil, nil
	case w.is("state"):
		return p.state("state", func(s *subject, is endpoint.State) bool { return s.live.states[0] == is || s.live.states[1] == is })
	case w.is("client") && p.take("state"):
		return p.state("client state", func(s *subject, is endpoint.State) bool { return s.live.states[endpoint.Client] == is })
	case w.is("server") && p.take("state"):
		return p.state("server state", func(s *subject, is endpoint.State) bool { return s.live.states[endpoint.Server] == is })
	case w.is("idle"):
		return p.duration("idle", func(s *subject, least time.Duration) bool { return s.live.idle >= least })
	case w.is("age"):
		return p.duration("age", func(s *subject, least time.Duration) bool { return s.live.age >= least })
	}
	return nil, nil
}

func (p *parser) state(name string, has func(*subject, endpoint.State) bool) (node, error) {
	text, err := p.value(name, "ESTAB")
	if err != nil {
		return nil, err
	}
	for st := endpoint.Closed; st <= endpoint.TimeWait; st++ {
		if strings.EqualFold(text, st.SS()) || strings.EqualFold(text, st.String()) {
			return func(s *subject) bool { return has(s, st) }, nil
		}
	}
	return nil, fmt.Errorf("%w: %s %q: there are ESTAB, SYN-SENT, SYN-RECV, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT, LISTEN (its SYN is held), UNCONN", ErrFilter, name, text)
}

func (p *parser) duration(name string, has func(*subject, time.Duration) bool) (node, error) {
	text, err := p.value(name, "10m")
	if err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return nil, fmt.Errorf("%w: %s %q is no duration: write for example 30s, 10m or 2h", ErrFilter, name, text)
	}
	return func(s *subject) bool { return has(s, d) }, nil
}
