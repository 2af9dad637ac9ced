package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"tcpmitm/endpoint"
	"tcpmitm/splice"
)

// Bounds of a filter, so that no question can slow a shard down.
const (
	maxFilterOctets = 4096
	maxFilterTerms  = 64
	maxFilterDepth  = 16
)

// ErrFilter is what every error of ParseFilter is.
var ErrFilter = errors.New("filter")

// Filter chooses events. It never changes, so any number of shards may ask it
// at once. A nil Filter chooses all.
type Filter struct {
	text string
	root node
}

// subject is what a filter looks at.
type subject struct {
	conn           uint64
	client, server netip.AddrPort
	rule           string
	leg            endpoint.Leg
	bothLegs       bool // it is about the connection and not about one leg
	fault          bool // a fault has to do with it
	verdict        bool // it says that the connection is over
	live           live // of a selection
}

type node func(*subject) bool

// ParseFilter reads a filter in the words of ss(8) and tcpdump(8):
//
//	host ADDRESS[/LENGTH]     the client or the server
//	client ADDRESS[/LENGTH]
//	server ADDRESS[/LENGTH]
//	port N[-M]                the client's or the server's
//	client port N[-M]
//	server port N[-M]
//	rule NAME                 in quotation marks if it has blanks
//	leg client|server
//	conn N                    one connection, by its number
//	faults                    only what a fault of a rule has to do with
//	verdicts                  only the end of each connection
//
// joined by "and" (which may be left out), "or", "not" and parentheses. An
// empty text is no filter.
func ParseFilter(text string) (*Filter, error) { return parse(text, false) }

func parse(text string, selects bool) (*Filter, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if len(text) > maxFilterOctets {
		return nil, fmt.Errorf("%w: longer than %d octets: use several shorter ones", ErrFilter, maxFilterOctets)
	}
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	p := &parser{words: words, selects: selects}
	root, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if w, more := p.peek(); more {
		return nil, fmt.Errorf("%w: %q is not expected here: join terms with and, or, not", ErrFilter, w.text)
	}
	return &Filter{text, root}, nil
}

// String gives the text that the filter was read from.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

func (f *Filter) match(s *subject) bool { return f == nil || f.root(s) }

func (f *Filter) segment(e *splice.SegmentEvent) bool {
	return f == nil || f.root(&subject{
		conn: e.Conn, client: e.Client, server: e.Server, rule: e.Rule, leg: e.Leg, fault: e.ByRule(),
	})
}

func (f *Filter) fault(e *splice.FaultEvent) bool {
	return f == nil || f.root(&subject{conn: e.Conn, client: e.Client, server: e.Server, rule: e.Rule, leg: e.Leg, fault: true})
}

func (f *Filter) closed(s *splice.Summary) bool {
	return f == nil || f.root(&subject{conn: s.Conn, client: s.Client, server: s.Server, rule: s.Rule, bothLegs: true, fault: len(s.Fired) > 0, verdict: true})
}

// word is one word of a filter. A quoted one is never a keyword.
type word struct {
	text   string
	quoted bool
}

func (w word) is(text string) bool { return !w.quoted && w.text == text }

func splitWords(text string) ([]word, error) {
	var words []word
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '(' || c == ')':
			words = append(words, word{text: text[i : i+1]})
			i++
		case c == '"' || c == '\'':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return nil, fmt.Errorf("%w: the quotation mark before %.20q has no second one", ErrFilter, text[i+1:])
			}
			words = append(words, word{text[i+1 : i+1+end], true})
			i += end + 2
		default:
			n := strings.IndexAny(text[i:], " \t\r\n()\"'")
			if n < 0 {
				n = len(text) - i
			}
			words = append(words, word{text: text[i : i+n]})
			i += n
		}
	}
	return words, nil
}

type parser struct {
	words   []word
	terms   int
	selects bool // it is a selection
}

func (p *parser) peek() (word, bool) {
	if len(p.words) == 0 {
		return word{}, false
	}
	return p.words[0], true
}

// take takes the next word if it is that keyword.
func (p *parser) take(keyword string) bool {
	if w, ok := p.peek(); ok && w.is(keyword) {
		p.words = p.words[1:]
		return true
	}
	return false
}

// value takes the word that a keyword wants.
func (p *parser) value(after, example string) (string, error) {
	w, ok := p.peek()
	if !ok {
		return "", fmt.Errorf("%w: %s wants something behind it, for example %s %s", ErrFilter, after, after, example)
	}
	p.words = p.words[1:]
	return w.text, nil
}

func (p *parser) either(depth int) (node, error) {
	left, err := p.all(depth)
	for err == nil && p.take("or") {
		var right node
		if right, err = p.all(depth); err == nil {
			l := left
			left = func(s *subject) bool { return l(s) || right(s) }
		}
	}
	return left, err
}

func (p *parser) all(depth int) (node, error) {
	left, err := p.term(depth)
	for err == nil {
		joined := p.take("and")
		if w, more := p.peek(); !joined && (!more || w.is("or") || w.is(")")) {
			break
		}
		var right node
		if right, err = p.term(depth); err == nil {
			l := left
			left = func(s *subject) bool { return l(s) && right(s) }
		}
	}
	return left, err
}

func (p *parser) term(depth int) (node, error) {
	if p.terms++; p.terms > maxFilterTerms || depth > maxFilterDepth {
		return nil, fmt.Errorf("%w: more than %d terms, or %d deep: make it simpler", ErrFilter, maxFilterTerms, maxFilterDepth)
	}
	switch {
	case p.take("not"):
		inner, err := p.term(depth + 1)
		return func(s *subject) bool { return !inner(s) }, err
	case p.take("("):
		inner, err := p.either(depth + 1)
		if err == nil && !p.take(")") {
			err = fmt.Errorf("%w: a parenthesis is not closed", ErrFilter)
		}
		return inner, err
	}
	w, ok := p.peek()
	if !ok {
		return nil, fmt.Errorf("%w: it ends where a term should be, for example host 10.0.0.1", ErrFilter)
	}
	p.words = p.words[1:]
	return p.primitive(w)
}

func (p *parser) primitive(w word) (node, error) {
	if err := p.ofOthers(w); err != nil {
		return nil, err
	}
	if n, err := p.whole(w); n != nil || err != nil {
		return n, err
	}
	switch {
	case w.is("faults"):
		return func(s *subject) bool { return s.fault }, nil
	case w.is("verdicts"):
		return func(s *subject) bool { return s.verdict }, nil
	case w.is("host"):
		return p.address("host", func(s *subject, in netip.Prefix) bool {
			return in.Contains(s.client.Addr()) || in.Contains(s.server.Addr())
		})
	case w.is("client"):
		if p.take("port") {
			return p.port("client port", func(s *subject, in portRange) bool { return in.has(s.client) })
		}
		return p.address("client", func(s *subject, in netip.Prefix) bool { return in.Contains(s.client.Addr()) })
	case w.is("server"):
		if p.take("port") {
			return p.port("server port", func(s *subject, in portRange) bool { return in.has(s.server) })
		}
		return p.address("server", func(s *subject, in netip.Prefix) bool { return in.Contains(s.server.Addr()) })
	case w.is("port"):
		return p.port("port", func(s *subject, in portRange) bool { return in.has(s.client) || in.has(s.server) })
	case w.is("rule"):
		name, err := p.value("rule", `"late goodbye"`)
		return func(s *subject) bool { return s.rule == name }, err
	case w.is("leg"):
		return p.leg()
	case w.is("conn"):
		return p.conn()
	}
	own := "leg, verdicts"
	if p.selects {
		own = "state, idle, age"
	}
	return nil, fmt.Errorf("%w: %q is no word of it: there are host, client, server, port, client port, server port, rule, conn, faults, %s, and, or, not",
		ErrFilter, w.text, own)
}

func (p *parser) address(name string, has func(*subject, netip.Prefix) bool) (node, error) {
	text, err := p.value(name, "10.0.0.0/8")
	if err != nil {
		return nil, err
	}
	in, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s %q is no address and no prefix: write for example 10.0.0.1 or 2001:db8::/32", ErrFilter, name, text)
		}
		in = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())
	}
	return func(s *subject) bool { return has(s, in) }, nil
}

type portRange struct{ first, last uint16 }

func (r portRange) has(a netip.AddrPort) bool { return a.Port() >= r.first && a.Port() <= r.last }

func (p *parser) port(name string, has func(*subject, portRange) bool) (node, error) {
	text, err := p.value(name, "80")
	if err != nil {
		return nil, err
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || a > b {
		return nil, fmt.Errorf("%w: %s %q is no port and no range: write for example 80 or 8000-8099", ErrFilter, name, text)
	}
	in := portRange{uint16(a), uint16(b)}
	return func(s *subject) bool { return has(s, in) }, nil
}

func (p *parser) leg() (node, error) {
	text, err := p.value("leg", "client")
	if err != nil {
		return nil, err
	}
	var leg endpoint.Leg
	switch text {
	case endpoint.Client.String():
	case endpoint.Server.String():
		leg = endpoint.Server
	default:
		return nil, fmt.Errorf("%w: leg %q: there are leg client and leg server", ErrFilter, text)
	}
	return func(s *subject) bool { return s.bothLegs || s.leg == leg }, nil
}

func (p *parser) conn() (node, error) {
	text, err := p.value("conn", "17")
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: conn %q is no number: `tcpmitm ss -i` shows the number of each connection", ErrFilter, text)
	}
	return func(s *subject) bool { return s.conn == n }, nil
}
