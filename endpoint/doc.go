// Package endpoint is one side of one TCP connection, without any I/O.
//
// An Endpoint is told facts (a segment arrived, time passed, an ICMP error
// came, the user wants to write) and asked for output (segments to send,
// events, the next deadline). It has no goroutine, lock, clock, randomness,
// log or net in it: now is an argument, and what must be unpredictable comes
// in through Open. The same calls at the same times give the same segments.
//
// # Who calls what
//
//	NewActive, NewPassive                       make an endpoint
//	HandleSegment, HandleICMP, HandleTimeout    tell it a fact; state changes, intents are noted
//	Write, Read, CloseWrite, Abort              the user's calls of RFC 9293, 3.9.1; none blocks
//	PollSegment                                 the one place where segments are born
//	TakeEvents, State, Info, NextTimeout        ask; nothing changes but that events are taken
//	Tune, ReleaseHeld, RepeatACK                what faults change while it runs
//	Release                                     gives the buffers back, once, at the end
//
// The caller, one goroutine, runs this loop:
//
//	for each segment of a burst: e.HandleSegment(now, &seg)
//	look at e.TakeEvents(), Read, Write
//	for e.PollSegment(now, &out) { send out }
//	wait for packets, at most until e.NextTimeout(); then e.HandleTimeout(now)
//
// A whole burst is handled before the first poll, so that one ACK answers all
// of it (MUST-58, MUST-59).
//
// # Memory
//
// Octets lie in Chunks, which hold counted Buffers. What arrives in a large
// buffer stays where it is until the user, and the peer across the splice,
// is done with it; small payloads are copied out. An idle endpoint holds no
// buffer.
//
// # Names
//
// Fields bear the names of RFC 9293, 3.3.1: snd.una, snd.nxt, rcv.nxt, iss,
// cwnd. MUST-n, SHLD-n and MAY-n are the requirement ids of its Appendix B.
package endpoint
