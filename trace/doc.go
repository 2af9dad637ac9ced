// Package trace makes visible what shards do: one log line when a connection
// ends, and, if wanted, a ladder of every segment on both legs.
//
// A Tracer is the shards' Observer. It copies what it is told into bounded
// channels and never blocks; what finds a channel full is counted, and the
// count is printed, so that a gap in the picture is never mistaken for
// silence on the wire. One goroutine of its own formats and writes.
package trace
