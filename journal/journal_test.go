package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

func event(n int) *splice.FaultEvent {
	return &splice.FaultEvent{
		At: endpoint.Time(n) * 1e6, Conn: uint64(n), Rule: "late", Fault: 2, Text: "server data drop every 100",
		Leg: endpoint.Server, Out: true, Do: rules.Lose, HasSegment: true, Seq: 1, Ack: 5005, ISS: 0xfffffff0, IRS: 5000,
		Flags: endpoint.ACK | endpoint.PSH, Window: 500, Len: 100,
	}
}

// write tells a journal of n faults and returns when it has written them.
func write(t *testing.T, opt Options, n int) *trace.Tracer {
	t.Helper()
	tracer := trace.New(trace.Options{Epoch: time.Unix(1e9, 0)})
	j, err := Start(tracer, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		tracer.Fault(event(i + 1))
		tracer.Segment(&splice.SegmentEvent{Conn: 99, Note: "drawn by nobody"})
		tracer.Closed(&splice.Summary{Conn: 99, Rule: "late"})
	}
	tracer.Close()
	j.Wait()
	return tracer
}

func lines(t *testing.T, name string) (out []trace.Event) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var e trace.Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%v in %q", err, s.Text())
		}
		out = append(out, e)
	}
	return out
}

func TestEachFaultIsALine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "journal")
	write(t, Options{File: name}, 3)
	got := lines(t, name)
	if len(got) != 3 {
		t.Fatalf("%d lines, want 3", len(got))
	}
	e := got[1]
	if e.Type != trace.TypeFault || e.Conn != 2 || e.Rule != "late" || e.Leg != "server" || e.Dir != "out" || !e.Time.Equal(time.Unix(1e9, 2e6)) {
		t.Errorf("%+v", e)
	}
	if f := e.Fault; f == nil || f.Index != 2 || f.Text != "server data drop every 100" || f.Do != "drop" {
		t.Errorf("%+v", f)
	}
	if s := e.Segment; s == nil || s.RelativeSeq != 17 || s.RelativeAck != 5 || s.Len != 100 {
		t.Errorf("%+v", s)
	}
	// A second run goes on where the first one ended.
	write(t, Options{File: name}, 2)
	if got := lines(t, name); len(got) != 5 {
		t.Errorf("%d lines after a second run, want 5", len(got))
	}
}

func TestFilesAreBounded(t *testing.T) {
	for _, keep := range []int{0, 1, 3} {
		dir := t.TempDir()
		name := filepath.Join(dir, "journal")
		const size = 2000
		// No more at once than the queue holds.
		for range 5 {
			write(t, Options{File: name, Size: size, Keep: keep}, 40)
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != keep+1 {
			t.Fatalf("keep %d: %d files: %v", keep, len(list), err)
		}
		next := uint64(40)
		for i := 0; i <= keep; i++ {
			n := name
			if i > 0 {
				n = old(name, i)
			}
			if st, err := os.Stat(n); err != nil || st.Size() > size || st.Size() == 0 {
				t.Errorf("keep %d: file %d has %d octets: %v", keep, i, st.Size(), err)
			}
			got := lines(t, n)
			if e := got[len(got)-1]; e.Conn != next {
				t.Errorf("keep %d: file %d ends with fault %d, want %d", keep, i, e.Conn, next)
			}
			next = got[0].Conn - 1
			if next == 0 {
				next = 40
			}
		}
	}
}

func TestWhatIsTooFastIsCounted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := mkfifo(name); err != nil {
		t.Fatal(err)
	}
	// Both ends, so that opening does not wait; nobody reads until later.
	reader, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	tracer := trace.New(trace.Options{})
	j, err := Start(tracer, Options{File: name, Size: 100, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	begun := time.Now()
	for i := range n {
		tracer.Fault(event(i + 1))
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("telling it took %v: somebody waited for the disk", took)
	}
	written, missing := make(chan int), uint64(0)
	go func() {
		count := 0
		for s := bufio.NewScanner(reader); s.Scan() && s.Text() != "the end"; {
			var e trace.Event
			_ = json.Unmarshal(s.Bytes(), &e)
			if e.Type == trace.TypeLost {
				missing += e.Lost
			} else {
				count++
			}
		}
		written <- count
	}()
	tracer.Close()
	j.Wait()
	fmt.Fprintln(reader, "the end")
	got := <-written
	if uint64(got)+missing != n || missing == 0 {
		t.Errorf("%d written and %d missing of %d", got, missing, n)
	}
}

func TestAJournalThatCannotBeWritten(t *testing.T) {
	tracer := trace.New(trace.Options{})
	defer tracer.Close()
	if _, err := Start(tracer, Options{File: filepath.Join(t.TempDir(), "no", "such", "folder")}); err == nil ||
		!strings.HasPrefix(err.Error(), "opening the journal: ") {
		t.Errorf("error %v", err)
	}
	var log bytes.Buffer
	write(t, Options{File: "/dev/full", Keep: 1, Size: 10, Logger: slog.New(slog.NewTextHandler(&log, nil))}, 3)
	if got := log.String(); strings.Count(got, "faults are missing in the journal") != 1 || !strings.Contains(got, "no space left") {
		t.Errorf("the log says %q", got)
	}
}
