package soak

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestOrder(t *testing.T) {
	o := order{id: 7, up: 1 << 20, down: 3, end: halfCloses}
	got, err := readOrder(bytes.NewReader(o.encode()))
	if err != nil || got != o {
		t.Errorf("%+v is read as %+v, %v", o, got, err)
	}
	if len(o.encode()) != orderSize {
		t.Errorf("an order has %d octets, want %d", len(o.encode()), orderSize)
	}
	for name, change := range map[string]func(b []byte){
		"another ending": func(b []byte) { b[16] = byte(endings) },
		"too much":       func(b []byte) { b[8] = 0xff },
		"no sign":        func(b []byte) { b[20] ^= 1 },
	} {
		b := o.encode()
		change(b)
		if _, err := readOrder(bytes.NewReader(b)); !errors.Is(err, errWrong) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := readOrder(bytes.NewReader(o.encode()[:5])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a part of an order: %v", err)
	}
}

func TestContentIsChecked(t *testing.T) {
	var b bytes.Buffer
	const n = 3*chunk + 17
	if err := send(&b, 9, true, n); err != nil {
		t.Fatal(err)
	}
	sent := b.Bytes()
	if len(sent) != n {
		t.Fatalf("%d octets were sent, want %d", len(sent), n)
	}
	// However it comes, it is right.
	if err := receive(iotest.OneByteReader(bytes.NewReader(sent)), 9, true, n, 0); err != nil {
		t.Error(err)
	}
	if err := receive(bytes.NewReader(sent), 9, false, n, 0); !errors.Is(err, errWrong) {
		t.Errorf("the other direction's octets: %v", err)
	}
	if err := receive(bytes.NewReader(sent), 8, true, n, 0); !errors.Is(err, errWrong) {
		t.Errorf("another connection's octets: %v", err)
	}
	if err := receive(bytes.NewReader(sent[:n-1]), 9, true, n, 0); !errors.Is(err, io.EOF) {
		t.Errorf("one octet less: %v", err)
	}
	missing := append(bytes.Clone(sent[:100]), sent[101:]...)
	if err := receive(bytes.NewReader(missing), 9, true, n-1, 0); !errors.Is(err, errWrong) {
		t.Errorf("one octet left out: %v", err)
	}
	sent[n-1] ^= 1
	if err := receive(bytes.NewReader(sent), 9, true, n, 0); !errors.Is(err, errWrong) {
		t.Errorf("the last octet changed: %v", err)
	}
}
