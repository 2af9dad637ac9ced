package endpoint

// Reason says why a packet or segment changed nothing. Odd input is neither
// an error nor a panic: it is counted by reason.
type Reason uint8

// The reasons, in the order in which a packet meets them.
const (
	ReasonNone Reason = iota
	// What the decoder finds.
	ReasonTruncated
	ReasonBadIPHeader
	ReasonFragment
	ReasonShortHeader
	ReasonBadHeaderLength
	ReasonBadOptionLength
	ReasonBadChecksum
	ReasonBadAddress
	// What the shard finds.
	ReasonNoFlow
	ReasonOverLimit          // of connections
	ReasonOverMemory         // of memory
	ReasonOverSource         // of connections of one source
	ReasonOverHalfOpen       // of handshakes in progress, where no SYN cookie helps
	ReasonOverHalfOpenSource // of handshakes of one source, likewise
	ReasonSYNRate            // a flood of SYNs: this one is answered when it comes again
	ReasonNotSplittable
	ReasonForeignShard
	ReasonVanished
	// What an endpoint finds.
	ReasonOutOfWindow
	ReasonOldDuplicate
	ReasonBadAck
	ReasonBadReset
	ReasonUnexpectedSYN
	ReasonNoAck
	ReasonPAWS
	ReasonChallengeLimited
	ReasonAfterClose
	ReasonNoMemory
	ReasonBadICMP
	// NumReasons is how many reasons there are.
	NumReasons
)

var reasonNames = [NumReasons]string{
	"none", "truncated", "bad-ip-header", "fragment", "short-tcp-header", "bad-header-length",
	"bad-option-length", "bad-checksum", "bad-address",
	"no-flow", "over-limit", "over-memory", "over-source", "over-half-open", "over-half-open-source", "syn-rate", "not-splittable", "foreign-shard", "vanished",
	"out-of-window", "old-duplicate", "bad-ack", "bad-reset", "unexpected-syn", "no-ack-flag", "paws",
	"challenge-limited", "data-after-close", "no-memory", "bad-icmp",
}

func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons counts what was dropped, by reason.
type Reasons [NumReasons]uint64
