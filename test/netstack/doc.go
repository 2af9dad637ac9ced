// Package netstack plays tcpmitm's endpoint against a TCP that we did not
// write: the netstack of gVisor, in one process and in virtual time.
//
// It is a module of its own, so that gVisor is no dependency of the program:
//
//	make interop                             or, here, go test ./...
//	go test ./... -run TestGoodput -update   after a change that is meant to change goodput
//
// Two hosts, each of either kind, are joined by a simulated link that has a
// rate and a queue and loses, delays, duplicates and corrupts packets as its
// seed says. What goes over it are IPv4 packets with checksums.
//
// # Virtual time
//
// The world (world_test.go) is a heap of events and the only clock there is:
// gVisor's timers lie in the same heap as the packets under way, so that
// neither can overtake the other, which gVisor's own faketime.ManualClock
// could not promise: it does not tell when its next timer is due. gVisor
// handles segments on a goroutine. After each packet, timer and call that
// goroutine is paused, which it lets happen only when it has nothing left to
// do; no sleep and no polling is in these tests, and the same seed gives the
// same packets.
//
// # Goodput
//
// testdata/goodput.txt is the goodput, by round trip, loss and reordering, of
// two endpoints of ours and of two of gVisor's over the same links with the
// same seeds. The test demands that each cell of ours is exactly as recorded
// and none is below gVisor's: a change of behaviour shows in review as a
// change of that file.
package netstack
