package nfq

import "testing"

func TestShardsShareThePorts(t *testing.T) {
	for queues := 1; queues <= maxQueues; queues++ {
		in := Intercept{Queues: queues}
		count := make([]int, queues)
		for p := 0; p < 1<<16; p += 2 {
			s := in.ShardOf(uint16(p))
			if other := in.ShardOf(uint16(p + 1)); other != s {
				t.Fatalf("%d queues: port %d comes to %d, port %d to %d", queues, p, s, p+1, other)
			}
			count[s]++
		}
		fair := 1 << 15 / queues
		for s, n := range count {
			if n < fair*7/8 || n > fair*8/7+1 {
				t.Errorf("%d queues: shard %d gets %d of 32768 pairs of ports, fair were %d", queues, s, n, fair)
			}
		}
	}
}
