package nfq

import (
	"os"
	"strconv"
	"strings"
)

// KernelQueue is what the kernel itself says of a queue.
type KernelQueue struct {
	Number     uint16
	Waiting    uint64 // packets without a verdict
	QueueFull  uint64 // packets that found the queue full: passed on or dropped
	SocketFull uint64 // packets lost because our socket's buffer was full
}

// queueTable is where the kernel lists the queues of a network namespace.
const queueTable = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// KernelQueues reads what the kernel says of our queues, in the network
// namespace of the calling thread; nothing where it does not say.
func (f *Firewall) KernelQueues() []KernelQueue {
	text, err := os.ReadFile(queueTable)
	if err != nil {
		return nil
	}
	return kernelQueues(string(text), int(f.in.QueueBase), f.in.Queues)
}

// kernelQueues reads the kernel's table: number, port, waiting, copy mode,
// copy range, queue dropped, user dropped, and more.
func kernelQueues(text string, first, n int) (out []KernelQueue) {
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 7 {
			continue
		}
		var v [7]uint64
		bad := false
		for i := range v {
			var err error
			v[i], err = strconv.ParseUint(w[i], 10, 64)
			bad = bad || err != nil
		}
		if bad || v[0] < uint64(first) || v[0] >= uint64(first+n) {
			continue
		}
		out = append(out, KernelQueue{Number: uint16(v[0]), Waiting: v[2], QueueFull: v[5], SocketFull: v[6]})
	}
	return out
}
