package capture

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tcpmitm/endpoint"
)

// statsPause is how long after a change the counts are written at the latest.
const statsPause = 100 * time.Millisecond

// About says in a file where it comes from.
type About struct {
	Version string    // of the program
	Filter  string    // empty: none
	Epoch   time.Time // the wall clock's reading at the shards' time 0
}

// writer makes pcapng of records.
type writer struct {
	recorder *Recorder
	ng       *pcapgo.NgWriter
	epoch    time.Time
	started  time.Time
	remarks  remarks
	scratch  []byte
	told     [2][2]uint64 // chosen and lost, by leg, as written last
}

// descriptions are those of the two interfaces.
var descriptions = [2]string{
	endpoint.Client: "between the clients and tcpmitm",
	endpoint.Server: "between tcpmitm and the servers",
}

func newWriter(out io.Writer, r *Recorder, about *About) (*writer, error) {
	w := &writer{recorder: r, epoch: about.Epoch, started: time.Now(), scratch: make([]byte, 0, largeBuffer)}
	section := pcapgo.NgSectionInfo{
		Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "tcpmitm " + about.Version,
		Comment: "Packets as tcpmitm sent and received them, one interface for each leg. What a fault of a rule did is a comment on the packet; " +
			"frame.comment finds these.",
	}
	if about.Filter != "" {
		section.Comment += " Filter: " + about.Filter
	}
	intf := func(l endpoint.Leg) pcapgo.NgInterface {
		i := pcapgo.NgInterface{Name: legNames[l], Description: descriptions[l], LinkType: layers.LinkTypeRaw, TimestampResolution: 9}
		if r.snap < MaxSnap {
			i.SnapLength = uint32(r.snap)
		}
		return i
	}
	var err error
	if w.ng, err = pcapgo.NewNgWriterInterface(out, intf(endpoint.Client), pcapgo.NgWriterOptions{SectionInfo: section}); err != nil {
		return nil, err
	}
	_, err = w.ng.AddInterface(intf(endpoint.Server))
	return w, err
}

// Run writes what a Recorder records, until the context ends or out cannot be
// written. flush is called when there is nothing more to write for now.
func (r *Recorder) Run(ctx context.Context, out io.Writer, flush func() error, about *About) error {
	w, err := newWriter(out, r, about)
	if err != nil {
		return err
	}
	pause := time.NewTimer(statsPause)
	defer pause.Stop()
	for {
		if len(r.queue) == 0 {
			if err := w.flush(flush); err != nil {
				return err
			}
		}
		select {
		case rec := <-r.queue:
			err = w.record(&rec)
		case <-pause.C:
			pause.Reset(statsPause)
			err = w.stats()
		case <-ctx.Done():
			return w.rest(flush)
		}
		if err != nil {
			return err
		}
	}
}

// rest writes what is in the queue at the end.
func (w *writer) rest(flush func() error) error {
	for range len(w.recorder.queue) {
		rec := <-w.recorder.queue
		if err := w.record(&rec); err != nil {
			return err
		}
	}
	if err := w.stats(); err != nil {
		return err
	}
	return w.flush(flush)
}

func (w *writer) flush(flush func() error) error {
	if err := w.ng.Flush(); err != nil {
		return err
	}
	return flush()
}

func (w *writer) record(rec *record) error {
	switch rec.kind {
	case ofFault:
		if w.remarks.add(rec) {
			return nil
		}
		c := counted{*rec.fault, 1}
		return w.remark(rec.leg, rec.at, []string{c.String(0)})
	case ofClosed:
		for l, text := range w.remarks.forget(rec.pair) {
			if err := w.remark(endpoint.Leg(l), rec.at, text); err != nil {
				return err
			}
		}
		return nil
	}
	return w.packet(rec)
}

// remark writes comments that no packet came for, on a packet of no octets.
func (w *writer) remark(l endpoint.Leg, at endpoint.Time, text []string) error {
	if len(text) == 0 {
		return nil
	}
	ci := gopacket.CaptureInfo{Timestamp: w.clock(at), InterfaceIndex: int(l)}
	return w.ng.WritePacketWithOptions(ci, nil, pcapgo.NgPacketOptions{Comments: text})
}

func (w *writer) clock(at endpoint.Time) time.Time { return w.epoch.Add(time.Duration(at)) }

func (w *writer) packet(rec *record) error {
	b, length := rec.build(w.scratch[:0])
	w.recorder.octets.Add(-rec.octets.size)
	rec.octets.free()
	w.scratch = b[:0]
	b = b[:min(len(b), w.recorder.snap)]
	opt := pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}}
	if rec.out {
		opt.Flags.Direction = pcapgo.NgEpbFlagDirectionOutbound
	}
	opt.Comments = w.remarks.take(rec)
	if rec.note != "" {
		opt.Comments = append(opt.Comments, rec.note)
	}
	if rec.missed > 0 {
		opt.DropCount = &rec.missed
		opt.Comments = append(opt.Comments, fmt.Sprintf("%d packets of this leg are missing here: they came faster than they could be written", rec.missed))
	}
	ci := gopacket.CaptureInfo{Timestamp: w.clock(rec.at), CaptureLength: len(b), Length: max(length, len(b)), InterfaceIndex: int(rec.leg)}
	return w.ng.WritePacketWithOptions(ci, b, opt)
}

// stats writes the counts of both interfaces, if they have changed.
func (w *writer) stats() error {
	for l := range w.told {
		now := [2]uint64{w.recorder.chosen[l].Load(), w.recorder.lost[l].Load()}
		if now == w.told[l] {
			continue
		}
		w.told[l] = now
		err := w.ng.WriteInterfaceStats(l, pcapgo.NgInterfaceStatistics{
			LastUpdate: time.Now(), StartTime: w.started, EndTime: time.Now(), PacketsReceived: now[0], PacketsDropped: now[1],
		})
		if err != nil {
			return err
		}
	}
	return nil
}
