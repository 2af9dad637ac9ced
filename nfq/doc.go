// Package nfq is the kernel's edge, and the only package with system calls.
// Packets come in through NFQUEUE, leave through TUN devices or in the place of
// packets that came (carry.go), and iptables rules lead them there. It decodes
// and encodes packets and knows nothing of connections: what becomes of a packet
// is its caller's decision.
//
// A program uses it in this order:
//
//	tuns, err := nfq.OpenTUNs(...)       // both TUN devices, a file per shard
//	port, err := nfq.OpenPort(...)       // one a shard: its queue and its TUN files
//	fw, err := nfq.NewFirewall(...)
//	warnings, err := fw.Install()        // from here on packets arrive
//	for {                                // one goroutine a shard
//		err := port.Receive(wait, handle)
//	}
//	fw.Remove()                          // first, so that nothing is led into the void
//	port.Close(); tuns.Close()
//
// A Guard is started in between, a process that outlives this one and holds the
// devices open, and a LedgerFile is memory that outlives both: with them, what a
// run that is killed leaves is cleaned up (docs/operation.md).
//
// A Port belongs to one goroutine, that of its shard; only Wake may be
// called from elsewhere. Nothing on the way of a packet allocates: packets
// lie in slabs of the shard's endpoint.Pool, are decoded where they lie, and
// a slab is kept for as long as somebody holds it.
package nfq
