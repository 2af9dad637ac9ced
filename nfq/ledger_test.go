package nfq

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	testChunk = 4096
	testPart  = 10 * testChunk
)

func newLedger(t *testing.T, path string) *LedgerFile {
	t.Helper()
	l, err := CreateLedger(path, 2, testPart+100, testChunk)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What was written to the parts is read by somebody else, up to where they
// were grown and no further.
func TestLedgerIsReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ledger")
	l := newLedger(t, path)
	for i := range 2 {
		part, grow := l.Part(i)
		if len(part) != testPart {
			t.Fatalf("a part has %d octets, want %d", len(part), testPart)
		}
		for chunk := range i + 1 {
			if !grow(chunk) {
				t.Fatal("a ledger cannot grow")
			}
			for j := range testChunk {
				part[chunk*testChunk+j] = byte(1 + i)
			}
		}
	}
	parts, err := ReadLedger(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range parts {
		n := 0
		for _, b := range part {
			if b == byte(1+i) {
				n++
			} else if b != 0 {
				t.Fatalf("part %d has octets of another", i)
			}
		}
		if n != (i+1)*testChunk {
			t.Errorf("part %d: %d octets written, %d read", i, (i+1)*testChunk, n)
		}
	}
	if err := l.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := ReadLedger(path, time.Minute); !errors.Is(err, ErrNoLedger) {
		t.Errorf("reading one that was removed: %v", err)
	}
}

// A ledger of somebody else, of another time or place, or that is none at all,
// says nothing.
func TestLedgersThatSayNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ledger")
	for name, spoil := range map[string]func(l *LedgerFile) error{
		"another boot":              func(l *LedgerFile) error { l.memory[atBoot]++; return nil },
		"another network namespace": func(l *LedgerFile) error { l.memory[atSpace]++; return nil },
		"another program":           func(l *LedgerFile) error { l.memory[0]++; return nil },
		"an odd number of parts":    func(l *LedgerFile) error { l.memory[atParts] = 0; return nil },
		"too many parts":            func(l *LedgerFile) error { l.memory[atParts] = 200; return nil },
		"huge parts":                func(l *LedgerFile) error { l.memory[atPart+7] = 0x7f; return nil },
		"too long":                  func(l *LedgerFile) error { return l.file.Truncate(1 << 20) },
		"no header":                 func(l *LedgerFile) error { return os.WriteFile(path, nil, 0o600) },
		"the mode of others":        func(l *LedgerFile) error { return os.Chmod(path, 0o666) },
		"the owner":                 func(l *LedgerFile) error { return os.Chown(path, 12345, 12345) },
		"a later time":              func(l *LedgerFile) error { l.memory[atAlive+7] = 0x7f; return nil },
		"a symbolic link": func(l *LedgerFile) error {
			return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, path)
			defer l.Remove()
			if _, err := ReadLedger(path, time.Minute); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := spoil(l); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadLedger(path, time.Minute); !errors.Is(err, ErrNoLedger) {
				t.Errorf("got %v, want that it is no ledger", err)
			}
		})
	}
	l := newLedger(t, path)
	defer l.Remove()
	time.Sleep(20 * time.Millisecond)
	if _, err := ReadLedger(path, 10*time.Millisecond); !errors.Is(err, ErrNoLedger) {
		t.Errorf("one that is too old: %v", err)
	}
	l.Alive()
	if _, err := ReadLedger(path, time.Second); err != nil {
		t.Errorf("one whose writer is alive: %v", err)
	}
}

func TestLedgerOf(t *testing.T) {
	for socket, want := range map[string]string{
		"/run/tcpmitm.sock": "/run/tcpmitm.ledger", "/a.b/c": "/a.b/c.ledger", "/x/control.sock": "/x/control.ledger",
	} {
		if got := LedgerOf(socket); got != want {
			t.Errorf("beside %s: %s, want %s", socket, got, want)
		}
	}
}

// Which settings of the loopback device are to be given back is told once, and
// not to another network namespace.
func TestLedgerTellsOfTheLoopbackDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ledger")
	if on := TakeLoopback(path); on != nil {
		t.Errorf("a ledger that is not there tells of %q", on)
	}
	l := newLedger(t, path)
	if on := TakeLoopback(path); on != nil {
		t.Errorf("a new ledger tells of %q", on)
	}
	l.NoteLoopback([]string{"route_localnet", "no setting of ours"})
	ns := newNamespace(t)
	inNamespace(t, ns, func() {
		if on := TakeLoopback(path); on != nil {
			t.Errorf("in another network namespace it tells of %q", on)
		}
	})
	if on := TakeLoopback(path); !slices.Equal(on, []string{"route_localnet"}) {
		t.Errorf("it tells of %q, want route_localnet", on)
	}
	if on := TakeLoopback(path); on != nil {
		t.Errorf("it tells a second time of %q", on)
	}
	l.NoteLoopback(loopbackSettings)
	if on := TakeLoopback(path); !slices.Equal(on, loopbackSettings) {
		t.Errorf("it tells of %q, want %q", on, loopbackSettings)
	}
}
