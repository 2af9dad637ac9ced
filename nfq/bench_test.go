package nfq

import (
	"io"
	"net"
	"testing"
)

// BenchmarkPath moves octets over one connection: forwarded by the kernel,
// and through a relay. What counts is the ratio.
func BenchmarkPath(b *testing.B) {
	for _, c := range []struct {
		name    string
		in      *Intercept
		address string
	}{
		{"kernel", nil, "10.91.2.2:80"},
		{"relay", &Intercept{Ports: port80}, "10.91.2.2:80"},
		{"relay without hints", &Intercept{}, "10.91.2.2:80"},
		{"kernel IPv6", nil, "[fd91:2::2]:80"},
		{"relay IPv6", &Intercept{Ports: port80}, "[fd91:2::2]:80"},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLab(b)
			server := listen(b, l.server, ":80")
			go func() {
				conn, err := server.Accept()
				if err != nil {
					return
				}
				buf := make([]byte, 1<<20)
				for {
					if _, err := conn.Read(buf); err != nil {
						conn.Close()
						return
					}
				}
			}()
			if c.in != nil {
				startRelays(b, l.gateway, *c.in, 80, nil)
			}
			conn, err := dial(b, l.client, c.address)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 4<<20)
			conn.Write(buf)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := conn.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn) // all has arrived
		})
	}
}
