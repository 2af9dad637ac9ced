// Package trace makes visible what shards do: one log line when a connection
// ends, a ladder of every segment on both legs, events for machines, and
// pictures.
//
// A Tracer is the shards' Observer. It copies what it is told into bounded
// queues and never blocks; what finds a queue full is counted, and the count is
// told, so that a gap in the picture is never mistaken for silence on the wire.
// One goroutine of its own writes the log and the run's own ladder. Everybody
// else subscribes: a Tap is a queue with a Filter that is asked before anything
// is copied, read by one goroutine of its owner.
//
// An Event is what all of them are told, in words; docs/trace.md explains its
// fields. A Ladder draws events as text, a Picture those of one connection as
// SVG.
//
// Whether shards tell of segments at all is not decided here: see
// splice.Shard.Watch, and package control, which switches it.
package trace
