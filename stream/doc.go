// Package stream does what stream policies say to the octets of one direction
// of a spliced connection: it delays, paces, cuts, ends, replaces, inserts,
// leaves out and corrupts them.
//
// A Plan is what the policies of a rule come to for one direction: compiled
// once, shared by all connections of the rule. A Pipeline is one connection's
// share of it: the policies in the order of their list, with a queue before
// each and one behind the last. It is sans-IO: it has no clock, no goroutine
// and no lock, and the same calls give the same octets at the same times. What
// looks random follows from the rule's seed and the connection's ordinal.
//
// # The driving loop
//
//	p := plan.New(pool, ordinal)
//	for {
//		p.Moments(what has happened to the leg)
//		for p.Space() > 0 { p.Push(what has arrived, at most p.Space()) }
//		p.Close() once, when the source's FIN has come and all before it is pushed
//		p.Run(now)
//		for { piece, ok := p.Pull(what the receiver has room for) ... }
//		if ending, ok := p.Ended(); ok { the direction ends so }
//		again when something arrives, when the receiver has room, and at p.NextTimeout()
//	}
//	p.Release()
//
// Once the rule is stopped, Stop makes the pipeline hand on what it holds, and
// all that comes, as it came.
//
// Pull after Run may make room for more to be run: the loop is turned until
// neither Push nor Pull moves anything.
//
// # Who owns what
//
// A Pipeline belongs to the goroutine of its shard. It owns the chunks that
// were pushed until they are pulled. Octets that no policy changes are not
// copied: they stay in the buffer in which they arrived, unless less than
// copyBelow of them is left between two changes, for a sliver would pin a
// whole buffer.
//
// # Bounds
//
// A pipeline takes octets in only while it holds less than maxHeld octets in
// fewer than maxHeldChunks chunks; while the pool is short of memory, less
// than scarceHeld. What is not taken in stays in the receive buffer of the
// endpoint and shuts the sender's window. All that is held lies in buffers of
// the pool and is counted there. At most MaxPolicies act in one direction.
//
// # The policies
//
// Latency keeps the order of the octets; the end of the stream is late by as
// much as they are. It can hold maxHeld octets: a stream that is faster than
// maxHeld in the time By becomes slower.
//
// Throttle is a token bucket. What leaves, leaves in pieces of about pieceTime
// worth of the rate, and never in smaller ones than that while more is there.
// The bucket holds Burst, but not less than a piece and burstTime worth of the
// rate, which is what timers of one millisecond need. While octets wait, a
// timer that is late by no more than catchUp costs nothing of the rate.
//
// Slice makes pieces that want a segment of their own. The next one follows
// not earlier than Gap after, and only when the last one has been sent. A
// policy that changes octets undoes the cuts of a slice before it in the list.
//
// Limit passes Bytes octets and then ends the direction, as soon as they have
// passed: it does not wait for one octet more.
//
// Replace finds Find, or Pattern, wherever the borders of segments lie. What
// could be the beginning of a match waits for its rest, and nothing else
// does: no longer than replaceSilence after the last octet came, and no
// longer than replaceAge in all; then it passes, and a match that has begun in
// it is not found any more. The end of the stream ends the wait at once. A
// pattern matches what package regexp would match in the whole stream, but for
// matches of nothing, which are none, and those longer than maxMatch, which
// are not found. Reading for a pattern costs little where no match can begin,
// and otherwise time in proportion to the ways in which it can go on; a
// pattern that is often abandoned late is read that often anew.
//
// Insert acts as soon as the octets before At have passed, without waiting for
// the next; a stream that ends before At is left alone.
//
// Corrupt changes one bit of one octet of each Every, chosen by the position
// in the stream, the seed and the ordinal: where the segments begin and end
// does not matter.
//
// HoldUntil lets everything go at the first of what it waits for. Because it
// cannot wait longer than there is room, it also lets go when the pipeline is
// full, and if it waits for octets when the stream ends before.
package stream
