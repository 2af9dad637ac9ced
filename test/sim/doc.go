// Package sim is a deterministic simulator of the whole: clients and servers
// of many habits, links that lose, duplicate, reorder, delay, corrupt and mark,
// and whose paths become narrower with and without a word, and between them a
// gateway with the shards of package splice, their rules and faults. Time is
// virtual and everything that is random comes from one seed, so a run can be
// repeated to the last bit.
//
//	go test ./test/sim                         the kept seeds, and 200 more
//	go test ./test/sim -seeds 5000             more of them
//	go test ./test/sim -seeds 1 -seed 4711 -v  one of them, with its packets and the ladder
//	make sim SEEDS=100000 SEED=1               with progress
//
// Every seed is run twice and must leave the same trace. Packets travel as
// octets with checksums, and who receives one verifies it.
//
// # Safety
//
// While a run lasts, with everything that happens (referee_test.go,
// gateway_test.go, app_test.go):
//
//   - nobody acknowledges what has not reached it, and no ACK goes back;
//   - nobody's window moves its right edge left, but for what the unit of a
//     scaled window cannot say (RFC 7323, 2.4);
//   - nobody sends beyond the window, but for one octet that probes it;
//   - a FIN stays where it is, and nothing follows it;
//   - states follow the arrows of RFC 9293, figure 5;
//   - each octet that is read is the one that was written, and none is read
//     before it was;
//   - whatever is unacknowledged, unsent or blocked has an armed timer
//     (Endpoint.Verify, Shard.CheckInvariants);
//   - connections, handshakes, held segments and buffers are within bounds.
//
// # Liveness
//
// Then the faults of the links stop, and all connections must end: no flow,
// timer, held segment or buffer may be left, whoever saw an end has got
// everything that was sent before it, and who was neither reset nor refused
// has got all.
//
// # What a seed means
//
// A seed draws the same as long as the drawing stays as it is. Each concern
// (draw_test.go) has a random stream of its own and draws new things last, so
// that most of a seed outlives a change; not all of it. testdata/seeds.txt
// keeps the seeds that found something, with the commit at which they did.
package sim
