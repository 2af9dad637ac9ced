package lab

import (
	"crypto/sha256"
	"io"
	"testing"
	"time"
)

// linkCases are the named links: what a round trip takes at least, and how
// fast octets come through, per second, to the client and to the server.
var linkCases = []struct {
	name string
	port uint16
	rtt  time.Duration
	down float64
	up   float64
}{
	{"3g", 7311, 250 * time.Millisecond, 1.6e6 / 8, 768e3 / 8},
	{"dsl", 7312, 50 * time.Millisecond, 16e6 / 8, 1e6 / 8},
	{"satellite", 7313, 600 * time.Millisecond, 25e6 / 8, 3e6 / 8},
	{"lossy-wifi", 7314, 4 * time.Millisecond, 20e6 / 8, 20e6 / 8},
}

// TestLinks wants each named link to have the round trip and the rates that
// its file speaks of, and the octets to survive its losses.
func TestLinks(t *testing.T) {
	l := New(t, Options{})
	config := clientSide
	for _, v := range linkCases {
		config += "[[rule]]\nname = \"over " + v.name + "\"\nmatch = { ports = [" + hostPort(IPv4.At(v.port))[len("10.2.0.2:"):] + "] }\nlink = \"" + v.name + "\"\n"
	}
	l.StartProxy(config)
	for _, v := range linkCases {
		serve(t, l.Server, IPv4.At(v.port), echo)
		l.Sub(v.name, func(t *testing.T) {
			began := time.Now()
			c := dial(t, l, IPv4.At(v.port))
			// A handshake that loses something takes a second or more.
			if took := time.Since(began); !Plain && took < v.rtt {
				t.Errorf("the handshake took %v, want at least %v", took, v.rtt)
			}
			// The slower direction takes more than a second for this, of which a
			// tenth may come at once.
			size := int64(min(v.down, v.up) * 1.2)
			sum, sent := sha256.New(), make(chan error, 1)
			began = time.Now()
			go func() {
				_, err := io.Copy(c, io.TeeReader(io.LimitReader(random(byte(v.port)), size), sum))
				if err == nil {
					err = c.CloseWrite()
				}
				sent <- err
			}()
			got := sha256.New()
			n, err := io.Copy(got, c)
			took := time.Since(began)
			if err := <-sent; err != nil {
				t.Errorf("send: %v", err)
			}
			if err != nil || n != size || string(got.Sum(nil)) != string(sum.Sum(nil)) {
				t.Errorf("%d of %d octets came back, the same: %v; %v", n, size, string(got.Sum(nil)) == string(sum.Sum(nil)), err)
			}
			if !Plain && took < time.Second {
				t.Errorf("%d octets there and back took %v, want more than a second", size, took)
			}
			t.Logf("%d octets there and back in %v", size, took)
		})
	}
}
