package endpoint

// ICMP types and codes that concern TCP (RFC 792, RFC 1191, RFC 4443).
const (
	icmpUnreachable     = 3
	icmpSourceQuench    = 4
	icmp6Unreachable    = 1
	icmp6PacketTooBig   = 2
	codeProtocolUnreach = 2
	codePortUnreach     = 3
	codeFragNeeded      = 4
	code6AdminProhib    = 1
	code6PortUnreach    = 4
)

// SoftError is the type and code of an ICMP error that did not end the
// connection.
type SoftError struct{ Type, Code uint8 }

// HandleICMP tells the endpoint of an ICMP error about a segment that began
// at seq (MUST-54). One about something that is not outstanding is from
// somebody who guesses (RFC 5927, 4).
func (e *Endpoint) HandleICMP(now Time, seq Seq, err *ICMPError) Reason {
	if e.state == Closed || e.state == Listen || seq.Before(e.snd.una) || seq.AtLeast(e.snd.nxt) {
		return ReasonBadICMP
	}
	tooBig := err.Type == icmpUnreachable && err.Code == codeFragNeeded
	hard := err.Type == icmpUnreachable && (err.Code == codeProtocolUnreach || err.Code == codePortUnreach)
	if e.open.ipv6 {
		tooBig = err.Type == icmp6PacketTooBig
		hard = err.Type == icmp6Unreachable && (err.Code == code6PortUnreach || err.Code == code6AdminProhib)
	} else if err.Type == icmpSourceQuench {
		return ReasonBadICMP // MUST-55
	}
	switch {
	case tooBig:
		return e.packetTooBig(now, seq, err.MTU)
	case hard && e.state == SynSent:
		// SHLD-26; in synchronized states it is a soft error (RFC 5927, 5.2).
		e.delete(EventRefused)
	default:
		e.soft = SoftError{Type: err.Type, Code: err.Code}
		e.events |= EventSoftError // MUST-47, MUST-56, SHLD-25
	}
	return ReasonNone
}
