package doctor

import (
	"strconv"
	"strings"
)

// boundQueue is a line of /proc/net/netfilter/nfnetlink_queue.
type boundQueue struct {
	number, port                  int
	waiting, kernelDrop, userDrop uint64
}

// queues lists the bound queues that are ours by number.
func (x *exam) queues() (ours []boundQueue) {
	text, _ := x.read("proc/net/netfilter/nfnetlink_queue")
	for _, l := range lines(text) {
		f := strings.Fields(l)
		if len(f) < 7 {
			continue
		}
		number, err := strconv.Atoi(f[0])
		if err != nil || number < x.need.FirstQueue || number >= x.need.FirstQueue+x.need.Queues {
			continue
		}
		q := boundQueue{number: number}
		// A number that cannot be read is one that is not counted.
		q.port, _ = strconv.Atoi(f[1])
		q.waiting, _ = strconv.ParseUint(f[2], 10, 64)
		q.kernelDrop, _ = strconv.ParseUint(f[5], 10, 64)
		q.userDrop, _ = strconv.ParseUint(f[6], 10, 64)
		ours = append(ours, q)
	}
	return ours
}

func (x *exam) queueNumbers(r *report) {
	const other = "another queue_base in [intercept], or stop the other program"
	bound := x.queues()
	for _, q := range bound {
		if x.running {
			continue
		}
		owner := ""
		if name, there := x.read("proc/" + strconv.Itoa(q.port) + "/comm"); there {
			owner = " (process " + strconv.Itoa(q.port) + ", " + name + ")"
		}
		r.broken(other, "NFQUEUE %d belongs to another program%s", q.number, owner)
	}
	if x.running && len(bound) < x.need.Queues {
		r.broken("restart tcpmitm, with the configuration that you give me", "a tcpmitm runs, but reads only %d of the %d queues that the configuration wants", len(bound), x.need.Queues)
	}
	for _, t := range x.tables {
		for _, rule := range t.rules {
			if rule.target == "NFQUEUE" && !strings.HasPrefix(rule.chain, x.need.Chains) && x.leadsToUs(rule) {
				r.broken(other, "another rule leads packets to our queues: %s", rule.line)
			}
		}
	}
	if len(r.findings) == 0 {
		r.ok("NFQUEUE %d to %d are ours or free", x.need.FirstQueue, x.need.FirstQueue+x.need.Queues-1)
	}
}

// leadsToUs tells whether a rule names a queue that is ours.
func (x *exam) leadsToUs(rule tableRule) bool {
	first, last := 0, 0
	if v := rule.option("--queue-num"); v != "" {
		first, _ = strconv.Atoi(v)
		last = first
	} else if v := rule.option("--queue-balance"); v != "" {
		a, b, _ := strings.Cut(v, ":")
		first, _ = strconv.Atoi(a)
		last, _ = strconv.Atoi(b)
	}
	return first < x.need.FirstQueue+x.need.Queues && last >= x.need.FirstQueue
}

func (x *exam) queueDrops(r *report) {
	for _, q := range x.queues() {
		if q.kernelDrop > 0 {
			r.warn("more queues in [intercept], a faster host, or less to intercept", "NFQUEUE %d was full %d times since it was bound", q.number, q.kernelDrop)
		}
		if q.userDrop > 0 {
			r.warn("more queues in [intercept], a faster host, or less to intercept", "NFQUEUE %d lost %d packets in a full socket buffer since it was bound", q.number, q.userDrop)
		}
	}
	if len(r.findings) == 0 {
		r.ok("no queue of ours has lost a packet")
	}
}
