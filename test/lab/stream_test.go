package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// streamRules are told apart by the server's port. On port 80 octets are paced
// and replaced in both directions, by text and by pattern; the replacements
// are as long as what they replace, for HTTP counts octets.
const streamRules = clientSide + `
[[rule]]
name   = "redact and pace"
match  = { ports = [80] }
stream = [
  { to = "client", do = "replace", find = "<<down stream marker>>", with = "[[DOWN STREAM MARKER]]" },
  { to = "client", do = "replace", pattern = 'serial-([0-9]{4})-(\w)', with = '$2-${1}-serial' },
  { to = "client", do = "throttle", rate = "2MB/s", burst = "64KiB" },
  { to = "server", do = "replace", find = "<<down stream marker>>", with = "{{up   stream marker}}" },
  { to = "server", do = "replace", pattern = 'serial-[0-9]{4}-\w', with = "0000-serial-0" },
  { to = "server", do = "throttle", rate = "2MB/s", burst = "64KiB" },
]

[[rule]]
name   = "a thousand octets"
match  = { ports = [7001] }
stream = [ { to = "client", do = "limit", bytes = 1000, then = "reset" } ]

[[rule]]
name   = "late"
match  = { ports = [7002] }
stream = [ { to = "server", do = "latency", by = "300ms" } ]

[[rule]]
name   = "slices"
match  = { ports = [7003] }
stream = [ { to = "client", do = "slice", size = 100, gap = "20ms" } ]

[[rule]]
name   = "greeting"
match  = { ports = [7004] }
stream = [
  { to = "server", do = "insert", with = "PROXY UNKNOWN\r\n" },
  { to = "server", do = "discard", bytes = "4-8" },
]
`

// The throttled transfers take size/rate, less the burst and a piece or two,
// more what TCP's own start and busy cores add.
const (
	paced      = 4 << 20 // octets
	pacedRate  = 2e6     // octets a second
	pacedEarly = 0.95
	pacedLate  = 1.5
)

// marked is a file of random octets with what the rules replace in it, at
// distances that put it across the borders of segments.
func marked(t *testing.T) []byte {
	t.Helper()
	data := make([]byte, paced)
	if _, err := io.ReadFull(random(9), data); err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := 700; at+40 < len(data); at += 1381 {
		copy(data[at:], fmt.Sprintf("<<down stream marker>> serial-%04d-%c", n%10000, 'a'+n%26))
		n++
	}
	return data
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// TestStreamReplaceAndThrottle moves a file each way between curl and nginx,
// and wants it changed as the rule says, octet by octet, at the rule's rate.
func TestStreamReplaceAndThrottle(t *testing.T) {
	if Plain {
		t.Log("without tcpmitm there are no rules")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	www := startNginx(t, l)
	data := marked(t)
	if err := os.WriteFile(www+"/marked.bin", data, 0o644); err != nil {
		t.Fatal(err)
	}
	serial := regexp.MustCompile(`serial-([0-9]{4})-(\w)`)
	down := bytes.ReplaceAll(data, []byte("<<down stream marker>>"), []byte("[[DOWN STREAM MARKER]]"))
	down = serial.ReplaceAll(down, []byte("$2-${1}-serial"))
	up := bytes.ReplaceAll(data, []byte("<<down stream marker>>"), []byte("{{up   stream marker}}"))
	up = serial.ReplaceAll(up, []byte("0000-serial-0"))
	if bytes.Equal(down, data) || len(down) != len(data) || len(up) != len(data) {
		t.Fatal("the test replaces nothing, or changes the length")
	}
	p := l.StartProxy(streamRules)
	l.EachFamily(func(t *testing.T, f Family) {
		url := "http://" + hostPort(f.At(80))
		file := l.Path("down-" + f.String())
		took := l.Client.Run("curl", "-sS", "--fail", "-o", file, "-w", "%{time_total}", url+"/marked.bin")
		wantPaced(t, "download", took)
		if got := fileSum(t, file); got != sum(down) {
			t.Errorf("download: SHA-256 %s, want %s", got, sum(down))
		}
		path := "/up/marked-" + f.String()
		took = l.Client.Run("curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{time_total}", "-T", www+"/marked.bin", url+path)
		wantPaced(t, "upload", took)
		if got := fileSum(t, www+path); got != sum(up) {
			t.Errorf("upload: SHA-256 %s, want %s", got, sum(up))
		}
	})
	wantNoConnections(t, p, soon)
}

func wantPaced(t *testing.T, why, took string) {
	t.Helper()
	seconds, err := strconv.ParseFloat(strings.TrimSpace(took), 64)
	if err != nil {
		t.Fatal(err)
	}
	want := paced / pacedRate
	t.Logf("%s of %d octets: %.3f s, at the rate it is %.3f", why, paced, seconds, want)
	if seconds < want*pacedEarly || seconds > want*pacedLate {
		t.Errorf("%s: took %.3f s, want %.3f to %.3f", why, seconds, want*pacedEarly, want*pacedLate)
	}
}

// TestStreamEndsTimesAndSegments wants from the peers' own sockets, and from
// the client's wire, what the other policies say.
func TestStreamEndsTimesAndSegments(t *testing.T) {
	if Plain {
		t.Log("without tcpmitm there are no rules")
		return
	}
	t.Parallel()
	l := New(t, Options{})
	p := l.StartProxy(streamRules)
	l.EachFamily(func(t *testing.T, f Family) {
		serve(t, l.Server, f.At(7001), func(c *net.TCPConn) {
			// Not at once: a reset could overtake the end of connect(2).
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write(make([]byte, 5000))
			_, _ = io.Copy(io.Discard, c)
		})
		c := dial(t, l, f.At(7001))
		_, _ = c.Write([]byte{1})
		got, err := io.ReadAll(c)
		if len(got) != 1000 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("limit: %d octets and %v, want 1000 and a reset", len(got), err)
		}

		serve(t, l.Server, f.At(7002), echo)
		c = dial(t, l, f.At(7002))
		began := time.Now()
		exchange(t, "latency", c, "hello")
		if took := time.Since(began); took < 300*time.Millisecond-early || took > 300*time.Millisecond+late {
			t.Errorf("latency: the answer took %v, want 300 ms", took)
		}
		began = time.Now()
		_ = c.CloseWrite()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("latency: after the close: %v", err)
		}
		if took := time.Since(began); took < 300*time.Millisecond-early || took > 300*time.Millisecond+late {
			t.Errorf("latency: the FIN's answer took %v, want 300 ms", took)
		}

		serve(t, l.Server, f.At(7003), func(c *net.TCPConn) { _, _ = c.Write(make([]byte, 1050)) })
		capture := l.Client.Capture(clientDevice, "tcp port 7003")
		c = dial(t, l, f.At(7003))
		if got, err := io.ReadAll(c); len(got) != 1050 || err != nil {
			t.Errorf("slices: %d octets, %v", len(got), err)
		}
		frames := capture.Frames()
		pieces := Select(frames, func(x *Frame) bool { return x.Src.Port() == 7003 && x.Len > 0 })
		if len(pieces) != 11 {
			t.Errorf("slices: %d segments with data, want 11:\n%s", len(pieces), Dump(frames))
		}
		for i := range pieces {
			if pieces[i].Len > 100 {
				t.Errorf("slices: a segment of %d octets", pieces[i].Len)
			}
		}
		// A single one may be late, and then the next is nearer to it.
		if n := len(pieces) - 1; n > 0 {
			if all := pieces[n].At.Sub(pieces[0].At); all < time.Duration(n)*20*time.Millisecond-late/10 {
				t.Errorf("slices: %d gaps took %v, want 20 ms each", n, all)
			}
		}

		serve(t, l.Server, f.At(7004), echo)
		c = dial(t, l, f.At(7004))
		_, _ = c.Write([]byte("hello"))
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "PROXKNOWN\r\nhello" || err != nil {
			t.Errorf("insert and discard: %q, %v", got, err)
		}
	})
	wantNoConnections(t, p, soon)
}
