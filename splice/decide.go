package splice

import (
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// Decisions are remembered for between half and all of decisionLife, so that
// a SYN that is sent again meets the same one: a rule with a probability
// would else judge each copy anew. At most maxDecisions are kept in each of
// two generations.
const (
	decisionLife = 64 * time.Second
	maxDecisions = 1 << 13
)

// decision is what becomes of a new connection.
type decision struct {
	action  rules.Action
	rule    *rules.Rule
	ordinal uint64 // of the connection among those of the rule, from 1
	cookie  bool   // answer with a SYN cookie
	// conn is the connection's number, if it was told of before it began: one
	// whose SYN was ignored may still become one.
	conn uint64
	// fleeting: not remembered, for the next copy of the SYN may be luckier.
	fleeting bool
}

type decisionKey struct {
	tuple endpoint.Tuple
	isn   endpoint.Seq
}

// decisions are two generations: the young one becomes the old one when it
// is full or half a life old, and the old one is forgotten.
type decisions struct {
	young, old map[decisionKey]decision
	since      endpoint.Time
}

func (m *decisions) find(k decisionKey) (decision, bool) {
	if d, ok := m.young[k]; ok {
		return d, true
	}
	d, ok := m.old[k]
	return d, ok
}

func (m *decisions) remember(now endpoint.Time, k decisionKey, d decision) {
	m.age(now)
	m.young[k] = d
}

// age makes room and forgets what is too old.
func (m *decisions) age(now endpoint.Time) {
	switch past := now.Sub(m.since); {
	case m.young == nil || past >= decisionLife:
		m.young, m.old = make(map[decisionKey]decision), nil
	case past >= decisionLife/2 || len(m.young) >= maxDecisions:
		m.young, m.old = make(map[decisionKey]decision), m.young
	default:
		return
	}
	m.since = now
}

// decide says what becomes of a new connection. If it is to be spliced, f has
// been given its places in the budget.
func (s *Shard) decide(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple, f *flow) decision {
	if p.Options.Has&endpoint.HasAuth != 0 {
		// TCP-MD5 and TCP-AO sign addresses and sequence numbers: nobody can
		// stand in between.
		s.drop(endpoint.ReasonNotSplittable)
		return decision{action: rules.Pass}
	}
	if s.draining || p.Tuple == p.Tuple.Reverse() {
		// A socket that calls itself has one end, which is on no side.
		return decision{action: rules.Pass}
	}
	k := decisionKey{key, p.Seq}
	s.memory.age(now)
	d, again := s.memory.find(k)
	if !again {
		d.rule, d.ordinal = s.firstRule(now, p)
		if d.rule != nil {
			d.action = d.rule.Action
		}
		if d.action == rules.Reset || d.action == rules.Drop {
			s.reportRuled(now, key, &d, "")
		}
	}
	if d.action == rules.Splice && d.rule != nil {
		if action, ok := s.faultSYN(now, p, key, &d); ok {
			// The next try, if it is the same SYN again, is the same connection
			// of the same rule.
			s.memory.remember(now, k, d)
			return decision{action: action, rule: d.rule}
		}
	}
	if d.action == rules.Splice {
		d = s.withinLimits(now, p, &key, d, f)
	}
	if !again && !d.fleeting && (d.action != rules.Splice || d.cookie) {
		s.memory.remember(now, k, d)
	}
	return d
}

// firstRule asks the rules about a new connection.
func (s *Shard) firstRule(now endpoint.Time, p *endpoint.Packet) (r *rules.Rule, ordinal uint64) {
	return loadRules(s.opt.Rules).First(rules.Conn{Client: p.Source(), Server: p.Destination(), At: now.Sub(s.started)})
}

// pass sends a new connection's SYN on as it came. It is not accepted where
// it was taken, because the SYN is judged in a connection tracking zone of
// its own there, and the rest of the connection will not be.
//
// One to a forwarded port of the host's own is judged in the ordinary zone,
// and only its own conntrack entry knows how to translate the answer.
func (s *Shard) pass(p *endpoint.Packet) endpoint.Verdict {
	s.counters.Passed++
	if p.Original.IsValid() {
		return endpoint.Accept
	}
	s.sent(s.dev.SendPacket(endpoint.Server, p))
	return endpoint.Take
}
