package trace

import (
	"errors"
	"net/netip"
	"time"

	"tcpmitm/splice"
)

// maxAttached bounds how many attachments there are at once.
const maxAttached = 18

// ErrTooManyAttached means that no further capture can be attached.
var ErrTooManyAttached = errors.New("18 captures and the like are attached already: end one of them")

// Attachment is told of what shards do beside the Tracer's own readers. Its
// methods are called on the shards' goroutines, of several shards at once:
// they must not block, and keep nothing but copies.
type Attachment interface {
	splice.WireObserver
	Fault(e *splice.FaultEvent)
	Closed(s *splice.Summary)
}

var _ splice.WireObserver = (*Tracer)(nil)

// Attach adds an attachment; the returned function takes it away again, once.
func (t *Tracer) Attach(a Attachment) (detach func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.loadAttached()
	if len(old) == maxAttached {
		return nil, ErrTooManyAttached
	}
	list := append(append([]Attachment(nil), old...), a)
	t.attached.Store(&list)
	return func() { t.detach(a) }, nil
}

func (t *Tracer) detach(a Attachment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Attachment
	for _, other := range t.loadAttached() {
		if other != a {
			list = append(list, other)
		}
	}
	t.attached.Store(&list)
}

func (t *Tracer) loadAttached() []Attachment {
	if list := t.attached.Load(); list != nil {
		return *list
	}
	return nil
}

// Wire implements splice.WireObserver.
func (t *Tracer) Wire(e *splice.WireEvent) {
	for _, a := range t.loadAttached() {
		a.Wire(e)
	}
}

// MatchWire tells whether a filter chooses a packet.
func (f *Filter) MatchWire(e *splice.WireEvent) bool {
	return f == nil || f.root(&subject{
		conn: e.Conn, client: e.Client, server: e.Server, rule: e.Rule, leg: e.Leg, fault: e.Note != "" || e.Lost || e.Acted,
	})
}

// MatchFault tells whether a filter chooses a fault that fired.
func (f *Filter) MatchFault(e *splice.FaultEvent) bool { return f.fault(e) }

// MatchClosed tells whether a filter chooses a connection that is over.
func (f *Filter) MatchClosed(s *splice.Summary) bool { return f.closed(s) }

// Epoch is the wall clock's reading at the shards' time 0.
func (t *Tracer) Epoch() time.Time { return t.opt.Epoch }

// MatchConn tells whether a filter chooses a connection that is open. fired
// tells whether faults of its rule have acted.
func (f *Filter) MatchConn(conn uint64, client, server netip.AddrPort, rule string, fired bool) bool {
	return f == nil || f.root(&subject{conn: conn, client: client, server: server, rule: rule, bothLegs: true, fault: fired})
}
