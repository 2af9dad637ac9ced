package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The databases' own ports.
const (
	postgresPort = 5432
	redisPort    = 6379
)

// startPostgres runs a fresh PostgreSQL on the host, at its loopback
// addresses only.
func startPostgres(t testing.TB, l *Lab) *Process {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL below /usr/lib/postgresql: run scripts/install-deps test (%v)", err)
	}
	bin, data := slices.Max(found), l.Path("postgres")
	// It refuses to run as root.
	owner, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, uid, -1); err != nil {
		t.Fatal(err)
	}
	as := []string{"--reuid=postgres", "--regid=postgres", "--clear-groups", "env", "-C", data, "LC_ALL=C.UTF-8"}
	l.Gateway.Run("setpriv", append(as, bin+"/initdb", "-D", data, "-A", "trust", "--no-sync")...)
	p := l.Gateway.Start("setpriv", append(as, bin+"/postgres", "-D", data, "-p", strconv.Itoa(postgresPort),
		"-c", "listen_addresses=127.0.0.1,::1", "-c", "unix_socket_directories=", "-c", "fsync=off")...)
	if err := p.WaitOutput("ready to accept connections", commandLimit); err != nil {
		t.Fatal(err)
	}
	return p
}

// startRedis runs a redis-server on the host, at its loopback addresses only.
func startRedis(t testing.TB, l *Lab) {
	t.Helper()
	p := l.Gateway.Start("redis-server", "--port", strconv.Itoa(redisPort), "--bind", "127.0.0.1", "::1",
		"--save", "", "--dir", l.scratch, "--proto-max-bulk-len", "512mb")
	if err := p.WaitOutput("Ready to accept connections", commandLimit); err != nil {
		t.Fatal(err)
	}
}

// loopbackOf is the loopback address.
func (f Family) loopback() netip.Addr { return f.own()[0] }

// psql asks the host's PostgreSQL a question, from the same host.
func (l *Lab) psql(f Family, sql string) (string, time.Duration, error) {
	began := time.Now()
	out, err := l.Gateway.Try("env", "PGSSLMODE=disable", "psql", "-XAt", "-h", f.loopback().String(), "-U", "postgres", "-c", sql)
	return out, time.Since(began), err
}

// redis gives redis-cli words, from the same host.
func (l *Lab) redis(f Family, words ...string) (string, time.Duration, error) {
	began := time.Now()
	out, err := l.Gateway.Try("redis-cli", append([]string{"-h", f.loopback().String()}, words...)...)
	return out, time.Since(began), err
}

// databases is the configuration of a developer who wants the connections to
// the databases on the own host, and nothing else.
const databases = `[intercept]
mode  = "local"
ports = [5432, 6379]
`

// TestLocalDatabases puts faults between psql and PostgreSQL and between
// redis-cli and Redis, all of them on one host, over its loopback device.
func TestLocalDatabases(t *testing.T) {
	t.Parallel()
	l := New(t, Options{})
	server := startPostgres(t, l)
	startRedis(t, l)
	p := l.StartProxy(databases + `
[[rule]]
name    = "late"
enabled = false
faults  = [
  { leg = "client", on = "syn-ack", do = "delay", by = "700ms" },
]
[[rule]]
name    = "late goodbye"
enabled = false
faults  = [{ leg = "client", on = "fin", do = "delay", by = "1500ms" }]
[[rule]]
name    = "cut"
enabled = false
faults  = [{ leg = "server", on = "established", do = "reset", after = "1s" }]
`)
	rule := func(what, name string) {
		t.Helper()
		if Plain {
			return
		}
		if out, err := p.Command("rule", what, "--socket", p.Socket, name); err != nil {
			t.Fatalf("rule %s %q: %v\n%s", what, name, err, out)
		}
	}
	during := func(name string, test func()) {
		t.Helper()
		rule("enable", name)
		test()
		rule("disable", name)
	}
	l.EachFamily(func(t *testing.T, f Family) {
		wantDatabasesWork(t, l, p, f)
		if Plain {
			return
		}
		during("late", func() {
			out, took, err := l.psql(f, "select 6 * 7")
			wantTook(t, "psql with a late SYN-ACK", took, 700*time.Millisecond)
			if err != nil || out != "42\n" {
				t.Errorf("psql with a late SYN-ACK: %q, %v", out, err)
			}
			out, took, err = l.redis(f, "ping")
			wantTook(t, "redis-cli with a late SYN-ACK", took, 700*time.Millisecond)
			if err != nil || out != "PONG\n" {
				t.Errorf("redis-cli with a late SYN-ACK: %q, %v", out, err)
			}
		})
		during("late goodbye", func() { wantLateGoodbye(t, l, f) })
		during("cut", func() {
			out, took, err := l.psql(f, "select pg_sleep(20)")
			wantTook(t, "psql that is cut off", took, time.Second)
			if err == nil || !strings.Contains(out, "connection to server was lost") {
				t.Errorf("psql that is cut off: %v, and it said %q", err, out)
			}
			out, took, err = l.redis(f, "blpop", "nothing", "20")
			wantTook(t, "redis-cli that is cut off", took, time.Second)
			if err == nil || !strings.Contains(out, "Connection reset by peer") {
				t.Errorf("redis-cli that is cut off: %v, and it said %q", err, out)
			}
		})
	})
	if Plain {
		return
	}
	// It looks at the connection when the query is over; the rest of the sleep
	// is not worth the wait.
	l.Gateway.Run("env", "PGSSLMODE=disable", "psql", "-XAt", "-h", "127.0.0.1", "-U", "postgres", "-c",
		"select pg_cancel_backend(pid) from pg_stat_activity where query like '%pg_sleep(20)%' and pid <> pg_backend_pid()")
	eventually(t, "PostgreSQL has seen the reset", soon, func() (bool, string) {
		return strings.Contains(server.Output(), "Connection reset by peer"), server.Output()
	})
}

// wantDatabasesWork asks much of both, without a fault.
func wantDatabasesWork(t *testing.T, l *Lab, p *Proxy, f Family) {
	t.Helper()
	const (
		size = 30_000_000
		slow = 6 * soon // psql alone needs seconds for it on a busy machine
	)
	before := p.Counters().Opened
	if out, _, err := l.psql(f, "select count(*) from generate_series(1, 100000)"); err != nil || out != "100000\n" {
		t.Errorf("psql: %q, %v", out, err)
	}
	out, took, err := l.psql(f, fmt.Sprintf("select repeat('0123456789', %d)", size/10))
	if err != nil || len(out) != size+1 || strings.Trim(out, "0123456789") != "\n" || took > slow {
		t.Errorf("psql: %d octets of %d, %v, in %v", len(out), size+1, err, took)
	}
	file := l.File("value", strings.Repeat("0123456789", size/10))
	if out, took, err := l.redis(f, "eval", "return 'OK'", "0"); err != nil || out != "OK\n" {
		t.Errorf("redis-cli: %q, %v, in %v", out, err, took)
	}
	if out, err := l.Gateway.Try("sh", "-c", "redis-cli -h "+f.loopback().String()+" -x set value < "+file); err != nil || out != "OK\n" {
		t.Errorf("redis-cli set: %q, %v", out, err)
	}
	if out, took, err := l.redis(f, "get", "value"); err != nil || len(out) != size+1 || took > slow {
		t.Errorf("redis-cli get: %d octets of %d, %v, in %v", len(out), size+1, err, took)
	}
	after := p.Counters()
	if n := after.Opened - before; !Plain && n != 5 {
		t.Errorf("tcpmitm had %d connections, want 5", n)
	}
	if after.Edge.Cut != 0 {
		t.Errorf("%d packets did not come whole: the ends were told too great an MSS", after.Edge.Cut)
	}
}

// wantLateGoodbye has PostgreSQL end a session: psql waits for the FIN.
func wantLateGoodbye(t *testing.T, l *Lab, f Family) {
	t.Helper()
	out, took, err := l.psql(f, "select pg_terminate_backend(pg_backend_pid())")
	wantTook(t, "psql whose session is ended, with a late FIN", took, 1500*time.Millisecond)
	if err == nil || !strings.Contains(out, "server closed the connection unexpectedly") {
		t.Errorf("psql whose session is ended: %v, and it said %q", err, out)
	}
}

// wantTook wants something to have taken at least so long, and not much more.
func wantTook(t testing.TB, why string, took, least time.Duration) {
	t.Helper()
	if took < least || took > least+soon {
		t.Errorf("%s: took %v, want a little more than %v", why, took, least)
	}
}
