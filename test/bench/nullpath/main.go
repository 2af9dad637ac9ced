// Command nullpath is a contender of the benchmark: the least that can stand
// on this project's way of taking and sending packets. It takes every segment
// from the NFQUEUE, and sends it on unchanged through the TUN device of the
// other leg; the two peers' kernels talk to each other. What it reaches is the
// limit for a proxy on the same path.
//
//	nullpath INTERFACE
//
// INTERFACE is the one that the clients are behind. It prints "ready", and
// runs until it is told to stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"tcpmitm/endpoint"
	"tcpmitm/nfq"
)

// segmentSize is what the kernel cuts super-packets into: an MTU of 1500
// without the headers and a timestamp.
const segmentSize = 1448

// poolSize bounds the buffers of one shard, in octets.
const poolSize = 64 << 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: nullpath INTERFACE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "nullpath:", err)
		os.Exit(1)
	}
}

func run(clientSide string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	shards := (runtime.NumCPU() + 1) / 2 // as tcpmitm
	fw, err := nfq.NewFirewall(nfq.Intercept{ClientSide: []string{clientSide}, Queues: shards})
	if err != nil {
		return err
	}
	if err := nfq.Clean(); err != nil {
		return err
	}
	tuns, err := nfq.OpenTUNs(nfq.TUNConfig{Shards: shards})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tuns.Close()) }()
	work, end := context.WithCancel(context.Background())
	defer end()
	var running sync.WaitGroup
	failed := make(chan error, shards)
	for i := range shards {
		port, e := nfq.OpenPort(nfq.PortConfig{Queue: fw.QueueNumber(i), Pool: endpoint.NewPool(poolSize), TUNs: tuns, Shard: i})
		if e != nil {
			err = e
			break
		}
		defer context.AfterFunc(work, port.Wake)()
		running.Go(func() {
			if err := relay(work, port); err != nil {
				failed <- err
				stop()
			}
		})
	}
	if err == nil {
		_, err = fw.Install()
	}
	if err == nil {
		fmt.Println("ready")
		<-ctx.Done()
	}
	err = errors.Join(err, fw.Remove())
	end()
	running.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// relay is the loop of one shard.
func relay(ctx context.Context, port *nfq.Port) (err error) {
	defer func() { err = errors.Join(err, port.Close()) }()
	var s endpoint.Segment
	var t endpoint.Tuple
	handle := func(_ endpoint.Time, p *endpoint.Packet) endpoint.Verdict {
		if p.ICMP != nil {
			return endpoint.Accept
		}
		// Of what clients send only the SYN comes late, after the filter.
		leg := endpoint.Client
		if p.Hook == endpoint.Early || p.Flags&(endpoint.SYN|endpoint.ACK) == endpoint.SYN {
			leg = endpoint.Server
		}
		s, t = p.Segment, p.Tuple
		s.MSS = segmentSize
		if port.Send(leg, &t, endpoint.IPHeader{TTL: p.TTL, DSCP: p.DSCP}, &s) != nil {
			return endpoint.Accept
		}
		return endpoint.Take
	}
	for ctx.Err() == nil {
		if err := port.Receive(-1, handle); err != nil {
			return err
		}
	}
	return nil
}
