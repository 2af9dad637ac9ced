// Command netstackproxy is a contender of the benchmark: a transparent proxy
// that ends TCP in gVisor's netstack, as a program would that takes a ready
// made userspace stack. It reads whole packets from a plain TUN device, ends
// each connection that is opened through it, opens one of its own from the
// client's address to the server, and copies octets between the two.
//
//	netstackproxy DEVICE
//
// The host routes what comes from clients and from servers into the device,
// and what comes out of it as usual. It runs until it is told to stop.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/link/tun"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	nic          = 1
	mtu          = 1500
	maxHandshake = 8192 // connections that are being opened
	maxBuffer    = 8 << 20
	dialLimit    = 5 * time.Second
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: netstackproxy DEVICE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "netstackproxy:", err)
		os.Exit(1)
	}
}

func run(device string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	fd, err := tun.Open(device)
	if err != nil {
		return fmt.Errorf("open device %s: %w", device, err)
	}
	link, err := fdbased.New(&fdbased.Options{
		FDs: []int{fd}, MTU: mtu, PacketDispatchMode: fdbased.Readv, GRO: true, RXChecksumOffload: true,
	})
	if err != nil {
		return fmt.Errorf("netstack on device %s: %w", device, err)
	}
	if err := start(link); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start makes the stack. It takes packets to any address and sends them from
// any, and its buffers may grow as those of Linux.
func start(link stack.LinkEndpoint) error {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack, moderate, congestion := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true), tcpip.CongestionControlOption("cubic")
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 1 << 20, Max: maxBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: 1 << 20, Max: maxBuffer}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &congestion, &receive, &send} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("set %T: %v", option, err)
		}
	}
	if err := s.CreateNIC(nic, link); err != nil {
		return fmt.Errorf("create the interface: %v", err)
	}
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("take packets to any address: %v", err)
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("send packets from any address: %v", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	f := tcp.NewForwarder(s, 0, maxHandshake, func(r *tcp.ForwarderRequest) { splice(s, r) })
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, f.HandlePacket)
	return nil
}

// splice asks the server first, as tcpmitm does, and then answers the client.
func splice(s *stack.Stack, r *tcp.ForwarderRequest) {
	id := r.ID()
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	defer cancel()
	server, err := gonet.DialTCPWithBind(ctx, s,
		tcpip.FullAddress{NIC: nic, Addr: id.RemoteAddress},
		tcpip.FullAddress{NIC: nic, Addr: id.LocalAddress, Port: id.LocalPort}, ipv4.ProtocolNumber)
	if err != nil {
		r.Complete(true)
		return
	}
	var queue waiter.Queue
	ep, failed := r.CreateEndpoint(&queue)
	r.Complete(failed != nil)
	if failed != nil {
		server.Close()
		return
	}
	ep.SocketOptions().SetDelayOption(false)
	client := gonet.NewTCPConn(&queue, ep)
	done := make(chan struct{})
	go func() {
		pass(server, client)
		close(done)
	}()
	pass(client, server)
	<-done
	client.Close()
	server.Close()
}

// pass copies octets and then the end of the stream.
func pass(to, from *gonet.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		// One side is gone: neither direction has a future.
		to.Close()
		from.Close()
		return
	}
	to.CloseWrite()
}
