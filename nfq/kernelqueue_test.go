package nfq

import (
	"slices"
	"testing"

	"tcpmitm/endpoint"
)

func TestKernelQueuesReadsOnlyOurs(t *testing.T) {
	const text = `    5    11     1 2 65531     1     1       99  1
29300  4711     3 2 65531    17     5        9  1
29301  4711     0 2 65531     0     0        9  1
29302  4711     0 2 65531     0     0        9  1
29301 odd line
29301 4711 x 2 65531 0 0 9 1
`
	got := kernelQueues(text, 29300, 2)
	want := []KernelQueue{{Number: 29300, Waiting: 3, QueueFull: 17, SocketFull: 5}, {Number: 29301}}
	if !slices.Equal(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// The kernel's table has the form that we read.
func TestKernelQueuesOfTheKernel(t *testing.T) {
	ns := newNamespace(t)
	f := newFirewall(t, Intercept{QueueBase: 4711})
	inNamespace(t, ns, func() {
		if got := f.KernelQueues(); len(got) != 0 {
			t.Errorf("before a queue is bound there are %+v", got)
		}
		q, err := openQueue(4711, endpoint.NewPool(64<<20), nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer q.close()
		if got := f.KernelQueues(); len(got) != 1 || got[0] != (KernelQueue{Number: 4711}) {
			t.Errorf("the queues are %+v, want an empty one with number 4711", got)
		}
	})
}
