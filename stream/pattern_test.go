package stream

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// replaceWhole is what a pattern does to a whole text, by Go's own matcher:
// matches of nothing are none.
func replaceWhole(re *regexp.Regexp, text, with string) string {
	var b strings.Builder
	at := 0
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		if m[0] < m[1] {
			b.WriteString(text[at:m[0]])
			b.Write(re.ExpandString(nil, with, text, m))
			at = m[1]
		}
	}
	return b.String() + text[at:]
}

func TestPatternsDoNotDependOnSegments(t *testing.T) {
	for _, c := range []struct{ pattern, text string }{
		{`h.llo`, "hello hallo hxllo hxyllo hell"},
		{`a+`, "aaa b aa"},
		{`a+?`, "aaa b aa"},
		{`a*`, "baaac"},
		{`a|ab|abc`, "abcab"},
		{`(ab|a)(c|bcd)`, "abcdabc"},
		{`(?i)server: .*\r\n`, "HTTP/1.1 200\r\nSERVER: x\r\nServer: y\r\nserver: z"},
		{`^a`, "aaa"},
		{`a$`, "aa a"},
		{`(?m)^x.*$`, "xa\nbx\nxc\nx"},
		{`\bfoo\b`, "foo foobar afoo foo.foo"},
		{`\Boo`, "foo oo foo"},
		{`\d{1,3}(\.\d{1,3}){3}`, "at 10.1.2.3 and 10.1.2 or 1234.5.6.7.8"},
		{`é+`, "caféé et the \xc3 or \xa9 \xc3"},
		{`.`, "a\xffé\n€"},
		{`\x{20ac}|\x{fffd}`, "1€2\xe2\x82 3\xe2"},
		{`(?s)<.*>`, "a<b>c\n<d>e"},
		{`<.*?>`, "a<b>c<d>e<"},
		{`x(yz)?`, "xy xyz xyzyz x"},
		{`a{3}(b{5})?`, "aaabbbbaaabbbbbb"},
		{`(a(.{3}b)?)+`, "aaaxaabaxxb"},
		{`$`, "abc"},
		{`(\w+) (\w+)`, "one two three four\nfive six"},
		{`(^|\n)b`, "b\nb\nab"},
	} {
		re := regexp.MustCompile(c.pattern)
		r := rules.Policy{Do: rules.Replace, Pattern: re, With: []byte("<$1#>")}
		want := replaceWhole(re, c.text, "<$1#>")
		for i := range len(c.text) + 1 {
			for j := i; j <= len(c.text); j++ {
				b := newBench(t, r)
				b.send(c.text[:i])
				b.send(c.text[i:j])
				b.send(c.text[j:])
				b.close()
				why := fmt.Sprintf("%s in %q|%q|%q", c.pattern, c.text[:i], c.text[i:j], c.text[j:])
				b.want(why, want)
				b.wantEnd(why, rules.EndFIN)
			}
		}
		b := newBench(t, r)
		for i := range len(c.text) {
			b.send(c.text[i : i+1])
		}
		b.close()
		b.want(c.pattern+" octet by octet", want)
	}
}

// TestPatternsAgreeWithGo draws patterns and texts over a small alphabet.
func TestPatternsAgreeWithGo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		expr := drawPattern(rnd, 4)
		re, err := regexp.Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		checkPattern(t, re, drawText(rnd), func(n int) int { return 1 + rnd.IntN(n) })
	}
}

func drawPattern(rnd *rand.Rand, depth int) string {
	if depth == 0 || rnd.IntN(4) == 0 {
		return [...]string{"a", "b", "c", "[ab]", ".", "é", "^", "$", `\b`, `\B`, "(?m:^)", "(?m:$)", "(?s:.)", "\n", ""}[rnd.IntN(15)]
	}
	x, y := drawPattern(rnd, depth-1), drawPattern(rnd, depth-1)
	switch rnd.IntN(5) {
	case 0:
		return "(" + x + "|" + y + ")"
	case 1:
		return "(" + x + ")" + [...]string{"*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}"}[rnd.IntN(8)]
	}
	return x + y
}

func drawText(rnd *rand.Rand) string {
	var b strings.Builder
	for range rnd.IntN(30) {
		b.WriteString([...]string{"a", "b", "c", "é", "\n", " ", "\xc3"}[rnd.IntN(7)])
	}
	return b.String()
}

func checkPattern(t *testing.T, re *regexp.Regexp, text string, piece func(n int) int) {
	t.Helper()
	b := newBench(t, rules.Policy{Do: rules.Replace, Pattern: re, With: []byte("#$1|$2")})
	var cuts []string
	for rest := text; rest != ""; {
		n := piece(len(rest))
		cuts = append(cuts, rest[:n])
		b.send(rest[:n])
		rest = rest[n:]
	}
	b.close()
	why := fmt.Sprintf("%q in %q", re, cuts)
	b.want(why, replaceWhole(re, text, "#$1|$2"))
	b.wantEnd(why, rules.EndFIN)
}

func FuzzPattern(f *testing.F) {
	f.Add(`a+b`, "aab", []byte{1})
	f.Add(`(?i)x$|\by`, "x y", []byte{2, 1})
	f.Fuzz(func(t *testing.T, expr, text string, cuts []byte) {
		re, err := regexp.Compile(expr)
		if err != nil || len(expr) > 100 || len(text) > 1000 {
			return
		}
		checkPattern(t, re, text, func(n int) int {
			if len(cuts) == 0 {
				return n
			}
			c := min(n, 1+int(cuts[0]))
			cuts = cuts[1:]
			return c
		})
	})
}

func TestAPatternWithholdsOnlyWhatMayBeAMatch(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Replace, Pattern: regexp.MustCompile(`\bpass(word)?=\w+`), With: []byte("***")})
	b.send("user=x&pass")
	b.want("nothing is held but the possible beginning", "user=x&")
	b.send("word=abc")
	b.want("the match may go on", "")
	b.send("&next=1")
	b.want("it has ended", "***&next=1")
	b.send("&password=xyz")
	b.want("again", "&")
	b.advance(replaceSilence - time.Millisecond)
	b.want("it waits", "")
	b.advance(time.Millisecond)
	b.want("after the silence the match is what it is", "***")
	b.send("pas")
	b.want("after a word there is no boundary", "pas")
	b.send(" pas")
	b.want("a beginning", " ")
	b.advance(replaceSilence)
	b.want("that nothing came of", "pas")
	b.wantNothingHeld("it is quiet")
}

func TestAPatternStopsAfterFirst(t *testing.T) {
	b := newBench(t, rules.Policy{Do: rules.Replace, Pattern: regexp.MustCompile(`[0-9]`), With: []byte("N"), First: 2})
	b.send("1 2 3")
	b.send(" 4")
	b.close()
	b.want("two", "N N 3 4")
	b.wantEnd("all passed", rules.EndFIN)
}

// TestAMatchIsBounded: what is longer than maxMatch is not found, wherever the
// segments end, and no more than that is held.
func TestAMatchIsBounded(t *testing.T) {
	text := "<" + strings.Repeat("x", maxMatch-2) + ">" + "<" + strings.Repeat("y", maxMatch-1) + ">" + "<z>"
	want := "#<" + strings.Repeat("y", maxMatch-1) + ">#"
	for _, size := range []int{1 << 20, 1000, 4097} {
		b := newBench(t, rules.Policy{Do: rules.Replace, Pattern: regexp.MustCompile(`<[^>]*>`), With: []byte("#")})
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			b.send(rest[:n])
			rest = rest[n:]
			if o, _ := b.p.Held(); o > maxMatch+endpoint.SlabSize {
				t.Fatalf("%d octets are held", o)
			}
		}
		b.close()
		b.want("a long match", want)
		b.wantEnd("all", rules.EndFIN)
	}
}
