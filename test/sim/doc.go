// Package sim is a deterministic simulator of the whole: clients, links that
// lose, duplicate, reorder and delay, a gateway with a shard of package
// splice, and servers. Time is virtual and everything that is random comes
// from one seed, so a run can be repeated to the last bit.
//
//	go test ./test/sim                         the usual seeds
//	go test ./test/sim -seeds 5000             more of them
//	go test ./test/sim -seeds 1 -seed 4711 -v  one of them, with its trace
//
// Every seed is run twice and must leave the same trace. While it runs, each
// octet that an application reads is compared with what the other one wrote,
// and the shard's invariants are checked after every turn. Then the faults
// stop, and all connections must end: no flow, timer or buffer may be left,
// and who was neither reset nor refused must have got everything.
package sim
