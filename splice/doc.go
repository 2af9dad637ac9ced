// Package splice joins two TCP endpoints to one connection: one faces the
// client, one the server, and between them the splice carries bytes, FINs,
// resets and silence, as the rules say.
//
// It knows packets and segments, not queues and devices: a Device brings
// packets in and takes segments out. It keeps no clock of its own: now is an
// argument everywhere, and only Run asks the device for it.
//
// # Who owns what
//
// A Shard, with everything in it (its flow table, both endpoints of each
// flow, timers, buffers, counters), is owned by one goroutine: the one that
// calls Run, or the one that calls the methods that Run is made of. There is
// no lock. What is shared between shards is the rule set, behind an atomic
// pointer, and the Budget, which consists of atomic counters. From other
// goroutines only Do, which runs a function on the shard's goroutine, may be
// called.
//
// # The driving loop
//
// Run is this loop; a simulator runs the same with a clock of its own:
//
//	for {
//		wait for packets, at most until s.NextTimeout()
//		for each packet of a burst: verdict = s.HandlePacket(now, packet)
//		s.ReadMail()
//		s.Transmit(now)
//		s.HandleTimeouts(now)
//		s.Transmit(now)
//	}
//
// The duties of the caller: give each packet's verdict to the kernel; call
// Transmit after the burst and not after each packet; keep now from going
// back; call Shutdown at the end.
//
// # A connection's life
//
// A SYN that has passed the host's filter is judged by the rules and limits
// (decide.go), and faults on SYNs may answer it (moment_syn.go). To be
// spliced, server first: the SYN is held, the server is dialled with options
// that mirror the client's, as far as the profiles do not say otherwise
// (open.go, legprofile.go), and when it has answered, the held SYN is let into
// an endpoint of our own, which answers the client. The server's refusal,
// silence or unreachability is passed on as what it is (refuse.go). Client
// first, and after a SYN cookie (syncookie.go), the client is connected before
// the server is asked.
//
// Then bytes are carried until both sides have closed, or one has reset or
// fallen silent (heed.go, close.go). A RST does not wait for octets, but for
// one case: a peer that had closed before has said all it had to say, and the
// other one gets all of that first. When nothing but TIME-WAIT is left, the
// connection is reported with its verdict (verdict.go) and lingers: as a flow
// while a rule may still do something to its segments, or a RST may have to be
// repeated, else as a small record (timewait.go).
//
// # A segment's life
//
// What arrives on one leg and leaves on the other goes this way. Where the
// rule does nothing, the steps in brackets are not there.
//
//	HandlePacket      finds the flow and the leg by the tuple; of no flow of
//	                  ours: a cookie's ACK, another shard's, or not ours
//	[stage, in]       faults on segments, package faults (wire.go)
//	deliver           the leg's endpoint is given the segment (packet.go)
//	[reach]           finds out to which moments the leg has come (reach.go)
//	- - - - - - - -   here the burst ends, and Transmit gives the flow its turn
//	heed              what the endpoints tell of: connected, closed, reset
//	[watch]           faults at moments act (moment.go, moment_act.go)
//	relay             octets, urgent pointer and FIN go over to the other leg,
//	                  [through a pipeline of package stream (policies.go)]
//	send              the endpoints are asked for segments (transmit.go);
//	                  [what is decided late is held there (moment_hold.go)]
//	[stage, out]      faults on segments, again
//	depart            the segment is recorded, given to the device, observed
//
// A turn ends with the flow's one timer set to the earliest of what its
// endpoints, the stage, the pipelines, the faults at moments and the flow
// itself wait for (arm). When it fires, all of them are told the time, and the
// flow has a turn.
//
// Each kind of fault has its place. What the wire does is the stage's, and
// nothing else knows of it. What is decided late, the endpoint holds and sends
// once. What lasts for a time (a window shut, ACKs withheld) is a tuning of the
// endpoint. What ends a leg is a call that the endpoint has anyway. What changes
// octets is the pipeline's: it takes them out of one leg's receive buffer as
// long as it has room, and the other leg is written from it; the FIN follows
// the last octet out of it.
//
// A SYN that the stage loses or keeps leaves a flow behind that waits for the
// next one, with its place among the half-open. What a stage still has under
// way to a peer when the connection is over leaves at its time, and the flow
// lingers until then; what has not arrived by then never does. A leg that has
// vanished, or lacks its partner because a rule ended that alone, is given up
// after corpseLife.
//
// # After a crash
//
// For each connection a line in a Ledger says who its peers are and which
// numbers they expect (ledger.go). It lies in memory that outlives the process.
// Whoever comes after it, the guard process or the next start, adopts what
// stands there, and a shard then resets the peers (orphans.go).
//
// # Bounds
//
// Of connections and half-open ones the Budget (limits.go), of lingering ones
// maxLingering and maxWaiting, of decisions maxDecisions, of octets the two
// buffers of each direction, what package stream and package faults hold at
// most, and the pool.
package splice
