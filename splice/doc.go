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
// (decide.go). To be spliced, server first: the SYN is held, the server is
// dialled with options that mirror the client's (open.go), and when it has
// answered, the held SYN is let into an endpoint of our own, which answers
// the client. The server's refusal, silence or unreachability is passed on as
// what it is (refuse.go). Client first, and after a SYN cookie
// (syncookie.go), the client is connected before the server is asked.
//
// Then bytes are carried (relay.go) until both sides have closed, or one has
// reset or fallen silent (heed.go, close.go). When nothing but TIME-WAIT is
// left, the connection is reported and lingers.
//
// Octets for which the rule has stream policies pass through a pipeline of
// package stream (policies.go), which takes them out of one leg's receive
// buffer as long as it has room, and from which the other leg is written. The
// FIN follows the last octet out of it; a RST does not wait for anything. A
// connection without such policies has no pipeline.
//
// Faults live at the edges. What happens on the wire, in both directions, is
// the stage's: package faults, of which a flow has a Stage if its rule has
// faults on segments, and nothing else knows of it (wire.go). A SYN that the
// stage loses or keeps leaves a flow behind that waits for the next one, with
// its place among the half-open. What a stage still has under way to a peer
// when the connection is over leaves at its time, and the flow lingers until
// then; what has not arrived by then never does. What is decided late is the
// endpoints', and what happens at moments is in moment.go.
package splice
