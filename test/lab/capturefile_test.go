package lab

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startCapture attaches `tcpmitm capture`, and waits until it is attached.
func (p *Proxy) startCapture(args ...string) *Process {
	p.lab.t.Helper()
	q := p.lab.Gateway.Start(Program, append([]string{"capture", "--socket", p.Socket}, args...)...)
	if err := q.WaitOutput("capturing both legs", soon); err != nil {
		p.lab.t.Fatal(err)
	}
	return q
}

// finish ends a command by a signal and wants it to end well.
func finish(t *testing.T, q *Process, signal syscall.Signal) {
	t.Helper()
	if err := q.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if code, err := q.Wait(soon); err != nil || code != 0 {
		t.Errorf("it ended with %d, %v:\n%s", code, err, q.Output())
	}
}

// fields reads fields of the packets of a file that a display filter takes,
// with all checksums verified.
func fields(t *testing.T, file, filter string, names ...string) (rows [][]string) {
	t.Helper()
	args := []string{"-r", file, "-n", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-o", "tcp.desegment_tcp_streams:FALSE", "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, n := range names {
		args = append(args, "-e", n)
	}
	out, err := runHost("tshark", args...)
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, tail(out))
	}
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if line != "" && !strings.HasPrefix(line, "Running as user") {
			rows = append(rows, strings.Split(line, "|"))
		}
	}
	return rows
}

const capturedFaults = clientSide + `
[[rule]]
name   = "rough ride"
match  = { ports = [80] }
faults = [
  { leg = "client", on = "fin", do = "delay", by = "300ms" },
  { leg = "client", on = "data", do = "drop", nth = 3 },
  { leg = "server", dir = "in", on = "data", do = "drop", nth = 5 },
  { leg = "server", on = "data", do = "corrupt", nth = 1 },
]
`

// TestCaptureFile wants the file that `tcpmitm capture` writes to be what
// Wireshark's own tools read without a complaint: both legs as interfaces, each
// a conversation with sequence numbers of its own, right checksums but for the
// packet that was corrupted, and every fault as a comment on its packet.
func TestCaptureFile(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding captures nothing")
		return
	}
	l := New(t, Options{})
	www := startNginx(t, l)
	payload(t, www+"/file.bin", 3, 256<<10)
	p := l.StartProxy(capturedFaults)
	atServer := l.Server.Capture(serverDevice, "tcp port 80")
	file := l.Path("both.pcapng")
	q := p.startCapture("-w", file, "port", "80")
	l.Client.Run("curl", "-sS", "--max-time", "20", "-H", "Connection: close", "-o", l.Path("arrived.bin"), "http://"+hostPort(IPv4.At(80))+"/file.bin")
	eventually(t, "the connection is over", soon, func() (bool, string) { c := p.Counters(); return c.Closed == 1, fmt.Sprint(c) })
	finish(t, q, syscall.SIGINT)
	if !strings.Contains(q.Output(), "packets written to "+file) {
		t.Errorf("it said %s", q.Output())
	}
	if got, want := read(t, l.Path("arrived.bin")), read(t, www+"/file.bin"); got != want {
		t.Error("the file is not what was sent")
	}

	for _, v := range []struct{ what, filter string }{
		{"drop on its way out", `frame.comment contains "dropped by rule rough ride: client data drop" and frame.interface_name == "client" and tcp.srcport == 80`},
		{"drop on arrival", `frame.comment contains "dropped on arrival by rule rough ride" and frame.interface_name == "server" and tcp.srcport == 80`},
		{"delay", `frame.comment contains "held 300ms by rule rough ride" and tcp.flags.fin == 1 and frame.interface_name == "client"`},
		{"corruption", `frame.comment contains "corrupted by rule" and tcp.checksum.status == "Bad" and frame.interface_name == "server"`},
	} {
		if n := len(fields(t, file, v.filter, "frame.number")); n != 1 {
			t.Errorf("%s: %d packets say so, want 1; comments are %q", v.what, n, fields(t, file, "frame.comment", "frame.number", "frame.comment"))
		}
	}
	if bad := fields(t, file, `(`+wrongSum+` or ip.checksum.status == "Bad" or _ws.malformed) and not frame.comment contains "corrupted"`, "frame.number", "_ws.col.Info"); len(bad) > 0 {
		t.Errorf("%d packets are not in order: %q", len(bad), bad[0])
	}
	// Direction, as the interface has it, is that of the addresses.
	for _, wrong := range []string{
		`frame.interface_name == "client" and tcp.srcport == 80 and not frame.packet_flags_direction == 2`,
		`frame.interface_name == "client" and tcp.dstport == 80 and not frame.packet_flags_direction == 1`,
		`frame.interface_name == "server" and tcp.srcport == 80 and not frame.packet_flags_direction == 1`,
		`frame.interface_name == "server" and tcp.dstport == 80 and not frame.packet_flags_direction == 2`,
	} {
		if rows := fields(t, file, wrong, "frame.number"); len(rows) > 0 {
			t.Errorf("%d packets are %s", len(rows), wrong)
		}
	}
	isn := map[string]bool{}
	for _, row := range fields(t, file, "tcp.flags.syn == 1", "frame.interface_name", "tcp.seq_raw", "tcp.ack_raw") {
		isn[row[0]+" "+row[1]] = true
	}
	if len(isn) != 4 {
		t.Errorf("the SYNs are %v, want two on each leg, all different", isn)
	}
	// What the server's own wire saw is what the file says of the server leg.
	for _, f := range pick(atServer.Frames(), false, func(f *Frame) bool { return f.SYN }) {
		if !isn[fmt.Sprint("server ", f.Seq)] {
			t.Errorf("the server saw %v, which the file does not have: %v", f, isn)
		}
	}
	wantLegsApart(t, l, file)
	out, err := runHost("capinfos", file)
	if err != nil {
		t.Fatalf("capinfos: %v\n%s", err, out)
	}
	for _, want := range []string{"Name = client", "Name = server", "Encapsulation = Raw IP", "Time precision = nanoseconds", "tcpmitm"} {
		if !strings.Contains(out, want) {
			t.Errorf("capinfos does not say %q:\n%s", want, out)
		}
	}
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v %v", i, err)
	}
}

// wantLegsApart wants each leg, taken out of the file as docs/capture.md says,
// to be one conversation in which Wireshark's analysis misses nothing.
func wantLegsApart(t *testing.T, l *Lab, file string) {
	t.Helper()
	for _, leg := range []string{"client", "server"} {
		part := l.Path(leg + ".pcapng")
		if out, err := runHost("tshark", "-r", file, "-n", "-Y", `frame.interface_name == "`+leg+`"`, "-w", part); err != nil {
			t.Fatalf("tshark: %v\n%s", err, tail(out))
		}
		streams := map[string]bool{}
		for _, row := range fields(t, part, "tcp", "tcp.stream") {
			streams[row[0]] = true
		}
		if len(streams) != 1 {
			t.Errorf("the %s leg is %d conversations", leg, len(streams))
		}
		if odd := fields(t, part, "tcp.analysis.ack_lost_segment or tcp.analysis.lost_segment", "frame.number"); len(odd) > 0 {
			t.Errorf("packets are missing in the %s leg, says the analysis of frames %v", leg, odd)
		}
		if n := len(fields(t, part, "tcp.analysis.retransmission or tcp.analysis.fast_retransmission or tcp.analysis.out_of_order", "frame.number")); n == 0 {
			t.Errorf("the repair of what a fault lost on the %s leg is not seen", leg)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCaptureRing wants a ring to hold the last packets and no more, to be
// written when somebody asks, and again at the end.
func TestCaptureRing(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding captures nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	serve(t, l.Server, IPv6.At(7000), echo)
	file, pipe := l.Path("ring.pcapng"), l.Path("pipe.pcapng")
	q := p.startCapture("-w", file, "--ring", "64KiB", "--snaplen", "200")
	piped := l.Gateway.Start("sh", "-c", Program+" capture --socket "+p.Socket+" -w - --count 20 > "+pipe)
	if err := piped.WaitOutput("capturing both legs", soon); err != nil {
		t.Fatal(err)
	}
	c := dial(t, l, IPv6.At(7000))
	for range 400 {
		exchange(t, "a few octets", c, "hello")
	}
	// --count ends by itself, and standard output holds a whole file.
	if code, err := piped.Wait(soon); err != nil || code != 0 {
		t.Errorf("the pipe ended with %d, %v:\n%s", code, err, piped.Output())
	}
	if n := len(fields(t, pipe, "tcp", "frame.number")); n != 20 {
		t.Errorf("%d packets in the pipe, want 20", n)
	}
	if bad := fields(t, pipe, wrongSum+` or _ws.malformed`, "frame.number"); len(bad) > 0 {
		t.Errorf("%d packets are not in order", len(bad))
	}
	exchange(t, "the last words", c, "before USR1")
	time.Sleep(captureDrain) // until the packets are in the ring
	if err := q.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ring is written", soon, func() (bool, string) { return strings.Contains(q.Output(), "written to "+file), q.Output() })
	exchange(t, "more words", c, "after USR1")
	_ = c.Close()
	finish(t, q, syscall.SIGTERM)
	second := strings.TrimSuffix(file, ".pcapng") + "-2.pcapng"
	for name, want := range map[string]string{file: "before USR1", second: "after USR1"} {
		if i, err := os.Stat(name); err != nil || i.Size() > 66<<10 || i.Size() < 60<<10 {
			t.Errorf("%s has not the size of the ring: %v %v", name, i, err)
		}
		if n := len(fields(t, name, `frame contains "`+want+`"`, "frame.number")); n == 0 {
			t.Errorf("%s does not hold %q", name, want)
		}
		if n := len(fields(t, name, "tcp.flags.syn == 1", "frame.number")); n != 0 {
			t.Errorf("%s holds the first packets", name)
		}
	}
}

// TestCaptureTroubles wants what goes wrong to be said, and nobody but the
// capture to suffer from it.
func TestCaptureTroubles(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding captures nothing")
		return
	}
	l := New(t, Options{})
	p := l.StartProxy(clientSide)
	serve(t, l.Server, IPv4.At(7000), echo)
	for _, v := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-w", l.Path("none") + "/x"}, 1, "no such file or directory"},
		{[]string{"-w", l.Path("none") + "/x", "--ring", "1MiB"}, 1, "there is no folder"},
		{[]string{"-w", l.Path("x"), "--ring", "much"}, 2, "for example 64MiB"},
		{[]string{"port", "80"}, 2, "say into which file"},
		{[]string{"-w", l.Path("x"), "port", "x"}, 2, "is no port"},
		{[]string{"-w", l.Path("x"), "--snaplen", "65536"}, 2, "no packet is longer"},
	} {
		out, err := p.Command(append([]string{"capture", "--socket", p.Socket}, v.args...)...)
		if code := exitCode(err); code != v.code || !strings.Contains(out, v.says) {
			t.Errorf("capture %q ends with %d, want %d and %q:\n%s", v.args, code, v.code, v.says, out)
		}
	}
	full := p.startCapture("-w", "/dev/full")
	still := p.startCapture("-w", l.Path("still.pcapng"))
	if err := still.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	reader := l.Gateway.Start("sh", "-c", "("+Program+" capture --socket "+p.Socket+" -w -; echo it ended with $? >&2) | head -c 500 >/dev/null")
	if err := reader.WaitOutput("capturing both legs", soon); err != nil {
		t.Fatal(err)
	}
	c := dial(t, l, IPv4.At(7000))
	const size = 64 << 20
	began := time.Now()
	go func() {
		_, _ = io.CopyN(c, zeros{}, size)
		_ = c.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); err != nil || n != size {
		t.Errorf("%d of %d octets came back: %v", n, size, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d octets took %v while captures were in trouble", size, took)
	}
	if code, err := full.Wait(soon); err != nil || code != 1 || !strings.Contains(full.Output(), "/dev/full cannot be written any further (no space left on device)") {
		t.Errorf("a full disk: %d, %v\n%s", code, err, full.Output())
	}
	if code, err := reader.Wait(soon); err != nil || code != 0 || !strings.Contains(reader.Output(), "it ended with 0") {
		t.Errorf("a reader that left: %d, %v\n%s", code, err, reader.Output())
	}
	if err := still.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// The next packet that there is room for tells of those before it.
	again := dial(t, l, IPv4.At(7000))
	eventually(t, "the file says where packets are missing", soon, func() (bool, string) {
		exchange(t, "a few octets", again, "hello")
		return strings.Contains(read(t, l.Path("still.pcapng")), "packets of this leg are missing here"), "nothing"
	})
	finish(t, still, syscall.SIGINT)
	if !strings.Contains(still.Output(), "packets are missing") {
		t.Errorf("a capture that stood still says\n%s", still.Output())
	}
	// One that outlives tcpmitm ends well.
	last := p.startCapture("-w", l.Path("last.pcapng"), "--for", "20s")
	p.Stop(syscall.SIGTERM)
	if code, err := last.Wait(soon); err != nil || code != 0 {
		t.Errorf("at the end of tcpmitm: %d, %v\n%s", code, err, last.Output())
	}
}
