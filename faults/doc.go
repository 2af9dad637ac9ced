// Package faults is what a rule does to the segments of a connection: a stage
// between the endpoints and the kernel, the same in production and in the
// simulator.
//
// A Program is a rule's faults on segments, compiled once. A Stage carries a
// Program out for one connection: it is told of every segment that leaves or
// arrives, and of time, and hands on to its Host what the faults leave of it.
// Like an endpoint it does no I/O: no goroutine, lock, clock or randomness;
// the same calls at the same times, with the same seed and ordinal, do the
// same. A connection whose rule has no fault on segments has no Stage.
//
// # The driving loop
//
// The caller, one goroutine, does this:
//
//	for each segment that an endpoint emits:  stage.Handle(now, leg, true, seg, head, host)
//	for each segment that arrives:            stage.Handle(now, leg, false, seg, head, host)
//	at stage.Next():                          stage.Release(now, host)
//	when a leg comes to a moment:             stage.Reach(now, leg, moment, host)
//	when both legs are done:                  stage.Finish()
//	when the connection is forgotten:         stage.Close()
//
// The caller tells the stage of every segment, also while no fault could act on
// one: what a segment is (the last ACK, a window update, a retransmission) and
// where its octets stand follows from those before it.
//
// # Who owns what
//
// A Stage and its Wire, which the stages of one shard share, belong to the
// goroutine of that shard; a Program never changes and belongs to nobody. A
// segment that is given to Handle stays the caller's, and one that is passed
// on is the stage's: both are valid during the call alone. What is held is a
// copy, in a buffer of the Wire's pool. Counts and draws are the Stage's, so
// that connections do not know of each other; the rule counts what all of them
// have done.
//
// # What a fault sees
//
// Faults act on segments as they are on the wire. A super-segment is cut, where
// a fault could act on a part of it, into segments of what the peer was told
// to send at most (of what arrives) or of the endpoint's MSS (of what leaves);
// what no fault acts on leaves the stage in one piece again.
//
// Every segment has a kind (see kind.go) and passes the faults of its leg and
// direction in the order in which the rule lists them. The first one that takes
// it away (drop, delay, hold, reorder, corrupt on arrival) ends that: the
// later ones neither see nor count it, nor do they when it comes out again.
// The copies that duplicate makes share the fate of the original from there
// on. The parts that split makes go on alone.
//
// Nth, first and every count the segments that the fault's other choices leave;
// the draw of a probability depends on the seed, the ordinal, the fault and
// how many segments it has been asked about. A reorder that holds one segment
// lets the others pass, though it counts them, until that one is out: when as
// many have passed as it says, or after 100 ms if they do not come.
//
// # What is never done
//
// The stage makes no octets up and loses none for good: what leaves and is lost
// stays in the endpoint's send queue, what arrives and is lost has never been
// acknowledged, so that the peers' retransmissions repair both. Only rewrite
// can be asked to say what is not so.
//
// What is decided late (a SYN-ACK, an ACK, a last ACK or a FIN of ours with do =
// "delay" or "hold") is not the stage's: an endpoint holds it, and decides once. See Decided.
//
// # Bounds
//
// What is held for a moment that does not come leaves after LongestHold.
// A connection holds at most MaxHeldSegments segments and MaxHeldOctets octets,
// all connections of a shard maxWireSegments and maxWireOctets. What should be
// held beyond that passes as if the fault had not chosen it, and Wire.Full
// counts it.
package faults
