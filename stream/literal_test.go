package stream

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tcpmitm/rules"
)

// TestReplacingDoesNotDependOnSegments cuts each text at every position, and
// at every two, and compares with the replacement in the whole.
func TestReplacingDoesNotDependOnSegments(t *testing.T) {
	for _, c := range []struct{ text, find, with string }{
		{"hello world, hello moon", "hello", "goodbye"},
		{"aaaaaaaaaaaab", "aab", "X"},
		{"abababacabababab", "ababac", ""},
		{"aaaa", "aa", "a"},
		{"aaaaa", "aa", "bbb"},
		{"no such thing", "thong", "!"},
		{"ends with the begin", "beginning", "!"},
		{"x", "x", "y"},
		{"abcabdabcabdabcabc", "abcabd", "<>"},
		{"mississippi", "issip", "ISSIP"},
		{"\r\n\r\n\r\r\n\r\n", "\r\n\r\n", "|"},
	} {
		want := string(bytes.ReplaceAll([]byte(c.text), []byte(c.find), []byte(c.with)))
		r := rules.Policy{Do: rules.Replace, Find: []byte(c.find), With: []byte(c.with)}
		for i := range len(c.text) + 1 {
			for j := i; j <= len(c.text); j++ {
				b := newBench(t, r)
				b.send(c.text[:i])
				b.send(c.text[i:j])
				b.send(c.text[j:])
				b.close()
				why := fmt.Sprintf("%q for %q in %q|%q|%q", c.with, c.find, c.text[:i], c.text[i:j], c.text[j:])
				b.want(why, want)
				b.wantEnd(why, rules.EndFIN)
			}
		}
		b := newBench(t, r)
		for _, x := range []byte(c.text) {
			b.send(string(x))
		}
		b.close()
		b.want("octet by octet", want)
	}
}

func TestReplacingStopsAfterFirst(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Replace, Find: []byte("a"), With: []byte("b"), First: 2})
	b.send("aXaXa")
	b.send("a")
	b.close()
	b.want("two replaced", "bXbXaa")
	if len(b.acts) != 2 || b.acts[0].At != 0 || b.acts[1].At != 2 {
		t.Errorf("acts %v", b.acts)
	}
}

func TestABeginningOfAMatchIsNotHeldForEver(t *testing.T) {
	find := rules.Policy{Do: rules.Replace, Find: []byte("secret"), With: []byte("******")}
	b := newBench(t, find)
	b.send("my sec")
	b.want("what cannot be a match passes at once", "my ")
	b.advance(replaceSilence - time.Millisecond)
	b.want("it waits for the rest", "")
	b.send("re")
	b.advance(replaceSilence - time.Millisecond)
	b.want("the silence counts from the last octet", "")
	b.advance(time.Millisecond)
	b.want("silence ends the wait", "secre")
	b.send("t secret")
	b.want("a match that has passed in part is none", "t ******")
	b.wantOpen("the stream goes on")

	b = newBench(t, rules.Policy{Do: rules.Replace, Find: bytes.Repeat([]byte("a"), 100), With: []byte("x")})
	for range 50 {
		b.send("a")
		b.advance(100 * time.Millisecond)
	}
	got := b.out[0].at
	if got < replaceAge || got > replaceAge+100*time.Millisecond {
		t.Errorf("a trickle is held for %v, want %v", got, replaceAge)
	}
}

func TestUnchangedOctetsAreNotCopied(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Replace, Find: []byte("needle"), With: []byte("pin")},
		rules.Policy{Do: rules.Latency, By: time.Millisecond}, rules.Policy{Do: rules.Throttle, Rate: 1e9},
		rules.Policy{Do: rules.Discard, Range: rules.Octets{From: 10, To: 20}},
		rules.Policy{Do: rules.Insert, At: 5, With: []byte("+")})
	c := alloc(b.pool, 60000)
	for range 30000 {
		c.Data = append(c.Data, 'x')
	}
	c.Data = append(c.Data, "needle"...)
	c.Data = append(c.Data, bytes.Repeat([]byte("y"), 20000)...)
	start, end := &c.Data[20], &c.Data[40000]
	b.p.Push(c)
	b.p.Run(b.now)
	b.now = b.now.Add(time.Millisecond)
	b.p.Run(b.now)
	var first, last bool
	for {
		b.p.Run(b.now)
		x, _, ok := b.p.Pull(1 << 20)
		if !ok {
			break
		}
		first = first || &x.Data[0] == start
		for i := range x.Data {
			last = last || &x.Data[i] == end
		}
		x.Release()
	}
	if !first || !last {
		t.Error("octets that nothing was done to were copied")
	}
	b.wantNothingHeld("all is pulled")
}
