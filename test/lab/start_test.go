package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	nfqueue "github.com/florianl/go-nfqueue/v2"
)

// badStart is a start that must fail: how it is run, and the
// words of which the one line must have one, because they name the remedy.
type badStart struct {
	name    string
	wrap    []string // what runs the program
	remedy  []string
	prepare func(t *testing.T, l *Lab)
}

// TestBadStart wants one clear line, an exit code other than zero, and a
// gateway as it was.
func TestBadStart(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding starts nothing")
		return
	}
	l := New(t, Options{})
	config := l.ConfigFile("config.toml", clientSide, l.Path("control.sock"))
	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	bare := pathOf(t, l, "bare", "ip", "sh")
	for _, c := range []badStart{
		{"not-root", []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"},
			[]string{"run as root", "sudo"}, nil},
		{"no-tun", []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /dev/net && exec "$@"`, "sh"},
			[]string{"modprobe tun", "mknod"}, nil},
		{"no-iptables", []string{"env", "PATH=" + bare}, []string{"install iptables"}, nil},
		{"queue-taken", []string{"env"}, []string{"queue_base"}, takeQueue},
		{"device-taken", []string{"env"}, []string{"tun_prefix"}, func(_ *testing.T, l *Lab) {
			l.Gateway.Run("ip", "tuntap", "add", "mitm-s", "mode", "tun")
		}},
	} {
		l.Sub(c.name, func(t *testing.T) {
			if c.prepare != nil {
				c.prepare(t, l)
			}
			before := l.Gateway.Snapshot()
			args := append(c.wrap[1:len(c.wrap):len(c.wrap)], Program, "run", "--config", config)
			began := time.Now()
			out, err := l.Gateway.Try(c.wrap[0], args...)
			wantRemedy(t, out, err, c.remedy)
			if took := time.Since(began); took > soon {
				t.Errorf("took %v to fail", took)
			}
			if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
				t.Errorf("half installed:\n%s", diff)
			}
			if _, err := os.Stat(l.Path("control.sock")); err == nil {
				t.Error("the control socket was left behind")
			}
		})
	}
}

// defaultQueue is the first queue that tcpmitm takes unless told otherwise.
const defaultQueue = 29300

// pathOf makes a folder that has these programs only, to be a PATH.
func pathOf(t *testing.T, l *Lab, name string, tools ...string) string {
	t.Helper()
	folder := l.Path(name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(folder, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// takeQueue binds the queue that tcpmitm uses by default, as another program
// would, until the test ends.
func takeQueue(t *testing.T, l *Lab) {
	t.Helper()
	var q *nfqueue.Nfqueue
	err := l.Gateway.In(func() (err error) {
		q, err = nfqueue.Open(&nfqueue.Config{NfQueue: defaultQueue, MaxQueueLen: 1, Copymode: nfqueue.NfQnlCopyMeta})
		return err
	})
	if err != nil {
		t.Fatalf("open a netlink socket: %v", err)
	}
	t.Cleanup(func() { _ = q.Close() })
	err = q.RegisterWithErrorFunc(t.Context(), func(nfqueue.Attribute) int { return 0 }, func(error) int { return 1 })
	if err != nil {
		t.Fatalf("bind queue %d: %v", defaultQueue, err)
	}
}

// wantRemedy wants a failed start to be told in one line with one of the words.
func wantRemedy(t *testing.T, out string, err error, remedy []string) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		t.Fatalf("ended with %v, want an exit code above 0:\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 1 {
		t.Errorf("%d lines, want one:\n%s", len(lines), out)
	}
	last := lines[len(lines)-1]
	for _, word := range remedy {
		if strings.Contains(last, word) {
			t.Logf("said: %s", last)
			return
		}
	}
	t.Errorf("the last line names no remedy (one of %q):\n%s", remedy, out)
}

// TestSecondInstance wants a second tcpmitm on the same gateway to be refused
// without harm to the first.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding starts nothing")
		return
	}
	l := New(t, Options{})
	serve(t, l.Server, IPv4.At(7000), echo)
	serve(t, l.Server, IPv6.At(7000), echo)
	p := l.StartProxy(clientSide)
	open := dial(t, l, IPv4.At(7000))
	exchange(t, "before the second", open, "before")
	for _, c := range []struct{ name, config, socket string }{
		{"same-config", clientSide, p.Socket},
		{"queue-taken", "[intercept]\nclient_side = [\"lan0\"]\ntun_prefix = \"other\"\n", l.Path("other.sock")},
		{"device-taken", "[intercept]\nclient_side = [\"lan0\"]\nqueue_base = 7400\n", l.Path("other.sock")},
	} {
		l.Sub(c.name, func(t *testing.T) {
			before := l.Gateway.Snapshot()
			config := l.ConfigFile("second.toml", c.config, c.socket)
			out, err := l.Gateway.Try("timeout", "10", Program, "run", "--config", config)
			wantRemedy(t, out, err, []string{"stop", "choose"})
			if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
				t.Errorf("the second instance changed the gateway:\n%s", diff)
			}
			exchange(t, "after the second", open, "after")
			l.EachFamily(func(t *testing.T, f Family) {
				atClient := l.Client.Capture(clientDevice, "tcp port 7000")
				atServer := l.Server.Capture(serverDevice, "tcp port 7000")
				c := dial(t, l, f.At(7000))
				exchange(t, "a new connection", c, "hello")
				client, server := handshakes(atClient.Frames()), handshakes(atServer.Frames())
				if len(client) != 1 {
					t.Fatalf("%d new connections were captured, want 1", len(client))
				}
				for from, h := range client {
					if h.syn.Seq == server[from].syn.Seq {
						t.Error("the first instance no longer takes new connections")
					}
				}
			})
		})
	}
	if !strings.Contains(p.SS(), "ESTAB") {
		t.Errorf("the first instance no longer answers:\n%s", p.SS())
	}
	p.Stop(syscall.SIGTERM)
}

// TestCheck wants a configuration to be judged without touching anything.
func TestCheck(t *testing.T) {
	t.Parallel()
	if Plain {
		t.Log("plain forwarding reads no configuration")
		return
	}
	l := New(t, Options{})
	before := l.Gateway.Snapshot()
	for _, good := range []string{"", clientSide, actionRules} {
		path := l.File("good.toml", good)
		if out, err := l.Gateway.Try(Program, "check", "--config", path); err != nil {
			t.Errorf("check refuses a good configuration: %v\n%s\n%s", err, out, good)
		}
	}
	for _, c := range []struct{ name, config, want string }{
		{"unknown-key", "[intercept]\nportz = [80]\n", ":2"},
		{"bad-cidr", "[intercept]\n\nservers = [\"10.0.0.0/33\"]\n", ":3"},
		{"duplicate-name", "[[rule]]\nname = \"a\"\n[[rule]]\nname = \"a\"\n", ":4"},
		{"fault-that-cannot-be", "[[rule]]\nname = \"a\"\nfaults = [{ leg = \"server\", on = \"data\", do = \"delay\" }]\n", ":3"},
		{"faults-with-pass", "[[rule]]\nname = \"a\"\naction = \"pass\"\nfaults = [{ leg = \"client\", on = \"fin\", do = \"delay\", by = \"1s\" }]\n", ":4"},
		{"no-toml", "this is not TOML\n", ":1"},
	} {
		l.Sub(c.name, func(t *testing.T) {
			path := l.File("bad.toml", c.config)
			for _, command := range []string{"check", "run"} {
				out, err := l.Gateway.Try("timeout", "10", Program, command, "--config", path)
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() == 124 || !strings.Contains(out, "bad.toml"+c.want) {
					t.Errorf("%s: %v, want it to fail and to name bad.toml%s:\n%s", command, err, c.want, out)
				}
			}
		})
	}
	if diff := before.Diff(l.Gateway.Snapshot()); diff != "" {
		t.Errorf("checking changed the gateway:\n%s", diff)
	}
}
