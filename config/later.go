package config

// What a later version will understand. A file that uses it is told so, which
// says more than that it is unknown; it is never ignored.
var (
	laterRuleKeys = []string{"client", "server", "stream", "timeline", "simultaneous-close", "simultaneous-open"}

	laterFaultKeys = []string{
		"nth", "first", "every", "probability", "bytes", "after", "for", "retransmits", // which segments
		"jitter", "copies", "behind", "until", "size", "window", "urgent", "flags", "ttl", "dscp", "n", "code", // how
	}

	laterOn = []string{
		"syn", "handshake-ack", "data", "last-ack", "rst", "window-update", "any",
		"established", "first-byte", "closing", "half-closed",
	}

	laterDo = []string{
		"drop", "duplicate", "reorder", "corrupt", "hold", "split", "rewrite",
		"reset", "fin", "vanish", "stall", "dribble", "icmp", "withhold-acks", "stretch-acks",
		"duplicate-acks", "refuse", "ignore", "accept-then-die",
	}
)
