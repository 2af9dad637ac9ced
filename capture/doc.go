// Package capture makes pcapng files of what is on the wire of both legs, for
// Wireshark and its relatives: the legs are two interfaces, and what a fault
// of a rule did to a packet is a comment on that packet.
//
// It has two halves. On the side of the gateway a Recorder is attached to a
// trace.Tracer: it copies the packets that its filter chooses into a bounded
// queue, and Run writes them as pcapng. What finds the queue full is counted
// and said in the file; a shard never waits, and while no Recorder is attached
// shards tell of no packets at all.
//
// On the side of who asked, a BlockReader takes that stream apart again into
// its blocks, so that a File ends with a whole one whatever happens, and a
// Ring can keep the last of them.
package capture
