package nfq

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// bucketsPerQueue keeps the queues' shares of the ports even where their
	// number is no power of two: they differ by less than one part in this.
	bucketsPerQueue = 8
	// u32Values bounds the values that one u32 match lists (U32MAXSIZE).
	u32Values = 10
)

// buckets is the number of classes into which clients' ports fall.
func buckets(queues int) int {
	if queues&(queues-1) == 0 {
		return queues
	}
	b := 1
	for b < bucketsPerQueue*queues {
		b *= 2
	}
	return b
}

// ShardOf tells which queue, counted from 0, the packets of a client's port
// come to. The lowest bit of the port does not count: Linux gives out ports
// of one parity as long as it can. Packets with IPv6 extension headers,
// fragments and ICMP errors may come to another queue.
func (in *Intercept) ShardOf(clientPort uint16) int {
	n := max(in.Queues, 1)
	return int(clientPort>>1) & (buckets(n) - 1) % n
}

// port names one of the two ports of a TCP header.
type port uint8

const (
	sourcePort port = iota
	destinationPort
)

// spread makes the rules that give each packet to its shard's queue, by the
// client's port, which is the source or the destination port. The kernel's
// own balancing looks at addresses only, so that one client and one server
// would share one queue.
func (in *Intercept) spread(client port, v6 bool) []rule {
	b := buckets(in.Queues)
	// Both ports are in the first word of the TCP header, the source port in
	// its upper half. IPv4's header says where it ends; behind IPv6's,
	// extension headers are not expected.
	at := "0x0>>0x16&0x3c@0x0"
	if v6 {
		at = "0x28"
	}
	shift := 1
	if client == sourcePort {
		shift = 17
	}
	var rules []rule
	// The last queue gets whatever is left.
	for q := range in.Queues - 1 {
		var values []string
		for v := q; v < b; v += in.Queues {
			values = append(values, fmt.Sprintf("0x%x", v))
		}
		for len(values) > 0 {
			n := min(len(values), u32Values)
			test := fmt.Sprintf("%s>>0x%x&0x%x=%s", at, shift, b-1, strings.Join(values[:n], ","))
			rules = append(rules, rule{match{proto: "tcp", more: []string{"-m", "u32", "--u32", test}}, in.queueTarget(q)})
			values = values[n:]
		}
	}
	return append(rules, rule{match{proto: "tcp"}, in.queueTarget(in.Queues - 1)})
}

// queueTarget is the target that queues to a shard.
func (in *Intercept) queueTarget(shard int) []string {
	t := []string{"NFQUEUE", "--queue-num", strconv.Itoa(int(in.QueueBase) + shard)}
	if in.Bypass {
		t = append(t, "--queue-bypass")
	}
	return t
}
