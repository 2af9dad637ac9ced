package splice

import (
	"sync/atomic"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// CookieMode says when a SYN is answered without keeping anything of it.
type CookieMode uint8

// The modes.
const (
	CookiesAuto   CookieMode = iota // from the half-open limits on
	CookiesAlways                   // every connection starts with a cookie
	CookiesNever                    // at the half-open limit OverLimit decides
)

// Options are what a shard is made with. They do not change afterwards; what
// does change, the rules, is behind an atomic pointer.
type Options struct {
	// Rules decides about new connections; a nil pointer, or one that holds
	// nil, is an empty set: everything is spliced. All shards share one.
	Rules *atomic.Pointer[rules.Set]
	// Order says who is answered first.
	Order rules.Order
	// Cookies says when SYN cookies are used.
	Cookies CookieMode
	// Budget counts what all shards together may have; nil is no limit.
	Budget *Budget
	// OverLimit is what becomes of a new connection when a limit is reached:
	// rules.Pass, rules.Reset or rules.Drop. The zero value, rules.Splice, is
	// taken as Pass. Where a SYN cookie helps, it is sent instead.
	OverLimit rules.Action
	// Patience is when connections are given up that nobody ends.
	Patience Patience
	// Endpoint is how both legs behave. Its Pool is that of this shard alone.
	Endpoint endpoint.Config
	// MTU is what a client is told of the path where the server's MSS is not
	// known yet (client first, SYN cookies), in octets; 0 means 1500. Where
	// the MSS is mirrored, the peers' own MSS options and path MTU discovery
	// say what fits.
	MTU int
	// MaxPacket is the length in octets that the packet of one segment should
	// not exceed, or the device does not hand it over whole; 0 is no bound. No
	// peer is told an MSS with which its packets would be longer.
	MaxPacket int
	// Secret keys initial sequence numbers and SYN cookies. It is random and
	// the same in all shards.
	Secret [32]byte
	// Epoch is the wall clock's reading at the device's time 0; it dates
	// summaries. The zero value lets the shard look at both clocks.
	Epoch time.Time
	// Observer is told of segments and of ended connections; nil is nobody.
	Observer Observer
	// EndsOnly tells the observer of ended connections and not of segments,
	// until Watch says otherwise.
	EndsOnly bool
	// Index is this shard's number, and ShardOf tells which shard a client
	// port belongs to. A nil ShardOf means that there is one shard.
	Index   int
	ShardOf func(clientPort uint16) int
	// Ledger is where the shard writes down what others need to know of its
	// connections if the process is killed; nil is nowhere. It is this
	// shard's alone.
	Ledger *Ledger
	// Local tells that the clients are on this host: what they send is taken
	// late, too.
	Local bool
}

// defaultMTU is that of Ethernet, in octets.
const defaultMTU = 1500

// Budget is what all shards together may have. A limit of 0 is none.
type Budget struct {
	Connections int64 // spliced at once
	HalfOpen    int64 // handshakes in progress
	// The same of one source: an IPv4 address or an IPv6 /64.
	PerSource         int64
	HalfOpenPerSource int64

	connections atomic.Int64
	halfOpen    atomic.Int64
	lastConn    atomic.Uint64
	sources     *sourceCount // of connections; nil without such a limit
	halfSources *sourceCount // of handshakes

	synMet, synCame atomic.Uint64 // see synrecv.go
}

// prepare makes the tables of sources. All shards have the same secret, and
// the first one that is made finds none.
func (b *Budget) prepare(secret [32]byte) {
	if b.PerSource > 0 && b.sources == nil {
		b.sources = newSourceCount(secret, b.Connections)
	}
	if b.HalfOpenPerSource > 0 && b.halfSources == nil {
		b.halfSources = newSourceCount(secret, b.HalfOpen)
	}
}

// InUse tells how many connections and handshakes there are.
func (b *Budget) InUse() (connections, halfOpen int64) {
	return b.connections.Load(), b.halfOpen.Load()
}
