package trace

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func drawSVG(t *testing.T, events []*Event) string {
	t.Helper()
	var p Picture
	for _, e := range events {
		p.Add(e)
	}
	var b bytes.Buffer
	if err := p.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}

func TestSVG(t *testing.T) {
	got := drawSVG(t, story())
	wantGolden(t, "testdata/ladder.svg", got)
	for _, outside := range []string{"<script", "href", "url(", "@import", "<style"} {
		if strings.Contains(got, outside) {
			t.Errorf("the picture is not self-contained: %s", outside)
		}
	}
}

// What a user has named must not become part of the picture's language.
func TestSVGEscapes(t *testing.T) {
	events := story()
	for _, e := range events {
		e.Rule = `<b>&"`
		e.Note = `<script>`
	}
	if got := drawSVG(t, events); strings.Contains(got, "<script>") || strings.Contains(got, "<b>") {
		t.Error("markup of a name is in the picture")
	}
}

// A long-lived connection makes a picture of bounded size, which shows how it
// began and how it ended.
func TestSVGOfALongConnection(t *testing.T) {
	events := story()
	var long []*Event
	long = append(long, events[:8]...)
	data := *events[8]
	for range 10_000 {
		e := data
		data.NS += 1000
		long = append(long, &e)
	}
	long = append(long, events[12:]...)
	got := drawSVG(t, long)
	if !strings.Contains(got, "events are left out here") || !strings.Contains(got, "ISN 3735928559") || !strings.Contains(got, "TIME-WAIT") {
		t.Error("the beginning, the end, or that something is left out is not in the picture")
	}
	if n := len(got); n > 1<<20 {
		t.Errorf("the picture takes %d octets", n)
	}
}

// A loss on the way from the gateway is said in the picture.
func TestSVGTellsOfLosses(t *testing.T) {
	events := append(story(), &Event{Type: TypeLost, Lost: 77})
	if got := drawSVG(t, events); !strings.Contains(got, "77 events are missing") {
		t.Error("the picture does not say that events are missing")
	}
}
