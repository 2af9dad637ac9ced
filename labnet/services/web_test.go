package services

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

func ask(t *testing.T, method, url, body, rang string) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if rang != "" {
		q.Header.Set("Range", rang)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(text)
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestWeb(t *testing.T) {
	s := httptest.NewServer(Web())
	defer s.Close()
	if a, text := ask(t, "GET", s.URL+"/", "", ""); a.StatusCode != 200 || text != page || a.ContentLength != int64(len(page)) {
		t.Errorf("/ is %v %q", a, text)
	}
	// The end of the connection is the end of the page.
	if a, text := ask(t, "GET", s.URL+"/close", "", ""); text != page || !a.Close || a.ContentLength != -1 || len(a.TransferEncoding) > 0 {
		t.Errorf("/close is %v %q", a, text)
	}
	for _, n := range []int{0, 1, 16, 1000, 100_000} {
		a, text := ask(t, "GET", fmt.Sprintf("%s/bytes/%d", s.URL, n), "", "")
		if len(text) != n || a.Header.Get(SHA256Header) != sumOf(text) {
			t.Errorf("/bytes/%d has %d octets, hash %s", n, len(text), a.Header.Get(SHA256Header))
		}
	}
	if a, text := ask(t, "GET", s.URL+"/bytes/100", "", "bytes=16-31"); a.StatusCode != 206 || text != "000000000000010\n" {
		t.Errorf("a range is %v %q", a, text)
	}
	for _, n := range []string{"-1", "x", "1073741825", "99999999999999999999"} {
		if a, text := ask(t, "GET", s.URL+"/bytes/"+n, "", ""); a.StatusCode != 400 || !strings.Contains(text, "1073741824") {
			t.Errorf("/bytes/%s is %v %q", n, a, text)
		}
	}
	for _, method := range []string{"POST", "PUT"} {
		if a, text := ask(t, method, s.URL+"/some/where", "hello", ""); a.Header.Get(SHA256Header) != sumOf("hello") || text != "5 octets, SHA-256 "+sumOf("hello")+"\n" {
			t.Errorf("%s says %q", method, text)
		}
	}
	long := strings.Repeat("there and back ", 100_000)
	if a, text := ask(t, "POST", s.URL+"/echo", long, ""); text != long || a.ContentLength != int64(len(long)) {
		t.Errorf("/echo gives back %d octets, says %d", len(text), a.ContentLength)
	}
	if a, _ := ask(t, "GET", s.URL+"/elsewhere", "", ""); a.StatusCode != 404 && a.StatusCode != 405 {
		t.Errorf("/elsewhere is %v", a.Status)
	}
}

func TestPositions(t *testing.T) {
	want := "000000000000000\n000000000000010\n00000000000"
	if err := iotest.TestReader(NewPositions(int64(len(want))), []byte(want)); err != nil {
		t.Error(err)
	}
	p := NewPositions(1 << 20)
	if _, err := p.Seek(0xabcd0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if _, err := io.ReadFull(p, b); err != nil || string(b) != "0000000000abcd0\n" {
		t.Errorf("there is %q, %v", b, err)
	}
	if _, err := p.Seek(-1, io.SeekStart); err == nil {
		t.Error("one can go before the beginning")
	}
}
