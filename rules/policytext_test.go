package rules

import (
	"bytes"
	"regexp"
	"testing"
	"time"
)

func TestPoliciesInWords(t *testing.T) {
	for want, p := range map[string]Policy{
		"to client throttle rate 1e+06 burst 4096":                         {Do: Throttle, Rate: 1e6, Burst: 4096},
		"to server latency by 200ms jitter 50ms":                           {To: Server, Do: Latency, By: 200 * time.Millisecond, Jitter: 50 * time.Millisecond},
		"to client slice size 7 gap 1ms":                                   {Do: Slice, Size: 7, Gap: time.Millisecond},
		"to client limit bytes 1000 then reset":                            {Do: Limit, Bytes: 1000, Then: EndReset},
		"to client limit then fin":                                         {Do: Limit},
		`to server replace find "a\n" with "" first 2`:                     {To: Server, Do: Replace, Find: []byte("a\n"), First: 2},
		`to server replace pattern "a+" with "b"`:                          {To: Server, Do: Replace, Pattern: regexp.MustCompile("a+"), With: []byte("b")},
		`to client insert with "hello" at 0`:                               {Do: Insert, With: []byte("hello")},
		"to client discard range 10-20":                                    {Do: Discard, Range: Octets{10, 20}},
		"to client corrupt every 100":                                      {Do: CorruptData, Every: 100},
		"to server hold-until by 1s until closing":                         {To: Server, Do: HoldUntil, By: time.Second, Until: Some(Closing)},
		`to client insert with "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"... at 9`: {Do: Insert, With: bytes.Repeat([]byte("a"), 33), At: 9},
	} {
		if got := p.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := Stream(99).String() + Ending(99).String(); got != "unknownunknown" {
		t.Error(got)
	}
}
