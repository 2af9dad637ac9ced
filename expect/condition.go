package expect

import (
	"fmt"
	"strings"
	"time"

	"tcpmitm/trace"
)

// Facts are what is known of one connection.
type Facts struct {
	Conn uint64
	// Over tells that it has ended; what only an end shows is empty before.
	Over bool
	trace.Verdict
}

// answer is what a condition says of a connection.
type answer uint8

const (
	no answer = iota
	yes
	later // it is open, and may still do
)

// Condition is something that is wanted of a connection.
type Condition struct {
	Name  string // for people, for example "closed by server"
	judge func(f *Facts) answer
	seen  func(f *Facts) string // in the words of Name
}

// atTheEnd is a condition that an end decides.
func atTheEnd(name string, ok func(f *Facts) bool, seen func(f *Facts) string) Condition {
	return Condition{name, func(f *Facts) answer {
		switch {
		case !f.Over:
			return later
		case ok(f):
			return yes
		}
		return no
	}, seen}
}

// onceTrue is a condition that holds for ever when it holds.
func onceTrue(name string, ok func(f *Facts) bool, seen func(f *Facts) string) Condition {
	return Condition{name, func(f *Facts) answer {
		switch {
		case ok(f):
			return yes
		case f.Over:
			return no
		}
		return later
	}, seen}
}

// ClosedBy wants who ("client", "server", "tcpmitm") to have closed first.
func ClosedBy(who string) Condition {
	return atTheEnd("closed by "+who, func(f *Facts) bool { return f.Verdict.ClosedBy == who },
		func(f *Facts) string { return "closed by " + f.Verdict.ClosedBy })
}

// How wants the closing to have begun in a way, as verdicts name it.
func How(how string) Condition {
	return atTheEnd("ended by "+how, func(f *Facts) bool { return f.Verdict.How == how },
		func(f *Facts) string { return "ended by " + f.Verdict.How })
}

// PeerReset wants the client, or the server, to have sent a RST.
func PeerReset(who string) Condition {
	codes := func(f *Facts) string { return f.Client.Code + " " + f.Server.Code }
	return atTheEnd("reset by "+who, func(f *Facts) bool {
		letter := strings.ToUpper(who[:1])
		if who == "server" {
			return strings.HasPrefix(f.Server.Code, letter)
		}
		return strings.HasPrefix(f.Client.Code, letter)
	}, func(f *Facts) string { return "codes " + codes(f) })
}

// Codes wants the termination codes of both legs, client's first, for example
// "-- sF"; a question mark is any letter.
func Codes(pattern string) Condition {
	codes := func(f *Facts) string { return f.Client.Code + " " + f.Server.Code }
	return atTheEnd("codes "+pattern, func(f *Facts) bool { return fits(codes(f), pattern) },
		func(f *Facts) string { return "codes " + codes(f) })
}

func fits(text, pattern string) bool {
	if len(text) != len(pattern) {
		return false
	}
	for i := range len(text) {
		if pattern[i] != '?' && pattern[i] != text[i] {
			return false
		}
	}
	return true
}

// NoDataAfterFIN wants neither side to have sent new octets on a leg that had
// seen a FIN of either.
func NoDataAfterFIN() Condition {
	count := func(f *Facts) int { return int(f.Client.DataAfterFIN) + int(f.Server.DataAfterFIN) }
	return atTheEnd("no data after FIN", func(f *Facts) bool { return count(f) == 0 },
		func(f *Facts) string { return fmt.Sprintf("%d segments with data after FIN", count(f)) })
}

// HandshakeWithin wants the client's handshake to have taken no longer.
func HandshakeWithin(d time.Duration) Condition {
	return onceTrue(fmt.Sprintf("handshake within %v", d), func(f *Facts) bool { return atMost(f.Client.Handshake, d) },
		func(f *Facts) string { return "handshake " + took(f.Client.Handshake) })
}

// FirstByteWithin wants the server's first octet to have come no later after
// its SYN.
func FirstByteWithin(d time.Duration) Condition {
	return onceTrue(fmt.Sprintf("first byte within %v", d), func(f *Facts) bool { return atMost(f.Server.FirstByte, d) },
		func(f *Facts) string { return "first byte " + took(f.Server.FirstByte) })
}

func atMost(ms *float64, d time.Duration) bool {
	return ms != nil && *ms <= float64(d)/float64(time.Millisecond)
}

func took(ms *float64) string {
	if ms == nil {
		return "never"
	}
	return "after " + time.Duration(*ms*float64(time.Millisecond)).Round(time.Microsecond).String()
}

// LastsAtLeast wants a connection that lasted as long, or longer.
func LastsAtLeast(d time.Duration) Condition {
	return onceTrue(fmt.Sprintf("lasts at least %v", d), func(f *Facts) bool { return f.Seconds >= d.Seconds() }, lasted)
}

// LastsAtMost wants one that lasted no longer.
func LastsAtMost(d time.Duration) Condition {
	return atTheEnd(fmt.Sprintf("lasts at most %v", d), func(f *Facts) bool { return f.Seconds <= d.Seconds() }, lasted)
}

func lasted(f *Facts) string { return fmt.Sprintf("lasted %.3f s", f.Seconds) }

// retransmissions are those of all four senders.
func (f *Facts) retransmissions() uint64 {
	return uint64(f.Client.Retransmits) + uint64(f.Client.PeerRetransmits) + uint64(f.Server.Retransmits) + uint64(f.Server.PeerRetransmits)
}

// RetransmissionsAtLeast wants so many segments that were sent again, by
// tcpmitm or by its peers, on both legs together.
func RetransmissionsAtLeast(n uint64) Condition {
	return onceTrue(fmt.Sprintf("at least %d retransmissions", n), func(f *Facts) bool { return f.retransmissions() >= n }, resent)
}

// RetransmissionsAtMost wants no more than so many.
func RetransmissionsAtMost(n uint64) Condition {
	return atTheEnd(fmt.Sprintf("at most %d retransmissions", n), func(f *Facts) bool { return f.retransmissions() <= n }, resent)
}

func resent(f *Facts) string { return fmt.Sprintf("%d retransmissions", f.retransmissions()) }

// BytesToClient wants the client to have acknowledged so many octets.
func BytesToClient(n uint64) Condition {
	return onceTrue(fmt.Sprintf("at least %d octets to the client", n), func(f *Facts) bool { return f.ToClient >= n },
		func(f *Facts) string { return fmt.Sprintf("%d octets to the client", f.ToClient) })
}

// BytesToServer wants the server to have acknowledged so many octets.
func BytesToServer(n uint64) Condition {
	return onceTrue(fmt.Sprintf("at least %d octets to the server", n), func(f *Facts) bool { return f.ToServer >= n },
		func(f *Facts) string { return fmt.Sprintf("%d octets to the server", f.ToServer) })
}
