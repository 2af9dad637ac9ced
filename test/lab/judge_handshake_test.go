package lab

import (
	"fmt"
	"strings"
)

// handshakePlays are RFC 9293, 3.5 and 3.10.7.1 to 3.10.7.3, with the options
// of RFC 7323, 2018 and 3168, in both roles.
var handshakePlays = []play{
	{name: "SYN sent again while the server is silent", steps: `
		c> S 0 <mss 1000>
		s< S 0
		c> S 0 <mss 1000>
		c< none 100ms
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> S 0 <mss 1000>
		c< S. 0 ack 1 again
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
	{name: "SYN-ACK sent again is acknowledged again", steps: `
		open
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
	{name: "our SYN-ACK comes again with backoff (RFC 6298)", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		c< S. 0 ack 1
		c< S. 0 ack 1 again after 900ms
		c< S. 0 ack 1 again after 1800ms
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< . 1 ack 1
		s< P. 1:11 ack 1`},
	{name: "our SYN comes again with backoff (RFC 6298)", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s< S 0 again after 900ms
		s< S 0 again after 1800ms
		s> S. 0 ack 1 <mss 1000>
		c< S. 0 ack 1`},
	{name: "SYN with text", steps: `
		c> S 0:10 <mss 1000>
		s< S 0:0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
	{name: "SYN-ACK with text", steps: `
		c> S 0 <mss 1000>
		s< S 0:0
		s> S. 0:10 ack 1 <mss 1000>
		s< . 1 ack 11
		c< S. 0 ack 1
		c> . 1 ack 1
		c< . 1:11 ack 1
		c> . 1 ack 11`},
	{name: "SYN-ACK with text and FIN", steps: `
		c> S 0 <mss 1000>
		s< S 0:0
		s> SF. 0:10 ack 1 <mss 1000>
		s< . 1 ack 12
		c< S. 0 ack 1
		c> . 1 ack 1
		c< F. 1:11 ack 1
		c> . 1 ack 12
		c> F. 1:6 ack 12
		s< F. 1:6 ack 12`},
	{name: "text with the ACK of the SYN-ACK", steps: `
		c> S 0 <mss 1000>
		s< S 0:0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> P. 1:11 ack 1
		s< . 1:11 ack 1`},
	{name: "FIN with the ACK of the SYN-ACK", steps: `
		c> S 0 <mss 1000>
		s< S 0:0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> F. 1:11 ack 1
		c< . 1 ack 12
		s< F. 1:11 ack 1`},
	{name: "refusal goes across", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> R. 0 ack 1
		c< R. 0 ack 1`},
	{name: "a real server refuses", steps: `
		k listen
		k nomore
		c> S 0 <mss 1000>
		c< R. 0 ack 1`},
	{name: "a real client is refused", steps: `
		k dial
		s< S 0
		s> R. 0 ack 1
		k refused`},
	{name: "SYN-ACK with a wrong ACK gets RST, the attempt goes on", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 5 <mss 1000>
		s< R 5
		s> S. 0 ack 0 <mss 1000>
		s< R 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "RST with a wrong ACK, or none, refuses nothing", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> R. 0 ack 5
		s> R. 0 ack 0
		s> R 0
		s> R 1
		s< none 100ms
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "segments without SYN, ACK or RST in SYN-SENT", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> - 0
		s> F 0
		s> FPU 0:10
		s< none 100ms
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "an ACK of an old connection in SYN-SENT gets RST", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> . 100 ack 500
		s< R 500
		s< S 0 again
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "RST in SYN-RECEIVED ends both legs", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> R 1
		s< R 1`},
	{name: "RST in the window of SYN-RECEIVED is challenged", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> R 2
		c< . 1 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
	{name: "a wrong ACK in SYN-RECEIVED gets RST", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 5
		c< R 5
		c> . 1 ack 0
		c< R 0
		c> P. 1:11 ack 1
		s< . 1:11 ack 1`},
	{name: "no SYN, no connection: the server's kernel judges", steps: `
		k listen
		c> SF 0 <mss 1000>
		c> SR 0 <mss 1000>
		c> - 0
		c> FPU 0
		c> F 0
		c< none 150ms
		c> . 1 ack 700
		c< R *
		c> S 0 <mss 1000>
		c< S. 0 ack 1`},
	{name: "xmas and null in a connection", steps: `
		open
		c> - 1
		c> FPU 1
		c> FPU 1:11
		c> U 1:11
		c< none 150ms
		s> - 1
		s> FPU 1:11
		s< none 50ms
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1
		s> P. 1:11 ack 11
		c< . 1:11`},
	{name: "bad checksums are not heard", steps: `
		c> S 0 <mss 1000> !sum
		s< none 100ms
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000> !sum
		s> R. 0 ack 1 !sum
		c< none 100ms
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1 !sum
		c> R 1 !sum
		c> P. 1:21 ack 1 !sum
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1
		c< . 1 ack 11
		s> P. 1:11 ack 11 !sum
		s> F. 1:6 ack 11 !sum
		c< none 100ms
		s< none 10ms`},
	{name: "bad header lengths are not heard", steps: `
		open
		c> P. 1:11 ack 1 !off=4
		c> P. 1:11 ack 1 !off=0
		c> P. 1:11 ack 1 !off=15
		c> R 1 !off=4
		c< none 150ms
		s< none 10ms
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
	{name: "IP options and extension headers are passed over", steps: `
		c> S 0 <mss 1000> !ipopt
		s< S 0 <mss 1000>
		s> S. 0 ack 1 <mss 1000> !ipopt
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1 !ipopt
		c> P. 1:11 ack 1 !ipopt
		s< P. 1:11 ack 1
		s> P. 1:11 ack 11 !ipopt
		c< P. 1:11 ack 11`},
	{name: "unknown options are passed over, and not passed on", steps: `
		c> S 0 <x 1e0c0081aabbccddeeff0011,mss 1000,x fd04f989,x 2202>
		s< S 0 <mss 1000>
		s> S. 0 ack 1 <x fe0612345678,mss 900,x 4c04beef>
		s< . 1 ack 1 <>
		c< S. 0 ack 1 <mss 900>
		c> . 1 ack 1 <x fd04f989>
		c> P. 1:11 ack 1 <nop,x 1c04002a,nop,x b902>
		s< P. 1:11 ack 1 <>`},
	{name: "options end at EOL", steps: `
		c> S 0 <mss 1000,eol,sackOK,ws 3>
		s< S 0 <mss 1000>
		s> S. 0 ack 1 <mss 1000,eol,x ffff>
		s< . 1 ack 1
		c< S. 0 ack 1 <mss 1000>`},
	{name: "malformed options open nothing, a good SYN does", steps: `
		c> S 0 <x 0200>
		c> S 0 <x 02ff05b4>
		c< none 100ms
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		c< S. 0 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< . 1 ack 1
		s< P. 1:11 ack 1`},
	{name: "options of wrong length on SYN", steps: `
		c> S 0 <mss 1000,x 0304aabb,x 0403aa,x 08040000>
		s< S 0 <mss 1000>`},
	{name: "malformed options in a connection end nothing", steps: `
		open
		c> P. 1:11 ack 1 <x 0500>
		c> P. 1:11 ack 1 <x 0501>
		c> P. 1:11 ack 1 <nop,nop,x 08ff>
		c> R 9 <x 0800>
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
	{name: "a scale above 14 is 14 (RFC 7323, 2.3)", steps: `
		c> S 0 <mss 1000,ws 15>
		s< S 0 <mss 1000,ws *>
		s> S. 0 ack 1 <mss 1000,ws 200>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1 win 1
		c> P. 1:11 ack 1 win 1
		s< P. 1:11 ack 1`},
	{name: "reserved bits are ignored", steps: `
		c> SN 0 <mss 1000> !res=14
		s< S 0
		s> S.N 0 ack 1 <mss 1000> !res=14
		s< . 1 ack 1
		c< S. 0 ack 1
		c> .N 1 ack 1 !res=14
		c> P.N 1:11 ack 1 !res=14
		s< P. 1:11 ack 1`},
	{name: "numbers wrap", steps: `
		c= iss 4294967290
		s= iss 4294967200
		open
		c> P. 1:1001 ack 1
		s< P. 1:1001 ack 1
		s> P. 1:1001 ack 1001
		c< P. 1:1001 ack 1001
		c> F. 1001 ack 1001
		s< F. 1001 ack 1001`},
	{name: "the client's window of the SYN is not scaled", steps: `
		c> S 0 win 500 <mss 1000,ws 7>
		s< S 0
		s> S. 0 ack 1 <mss 1000,ws 7>
		s< . 1 ack 1
		s> P. 1:1001 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1 win 5
		c< . 1:641
		c> . 1 ack 641 win 100
		c< . 641:1001`},
	{name: "no MSS on IPv4: 536", only: IPv4, steps: `
		open C=<> S=<>
		c> P. 1:1001 ack 1
		s< . 1:537 ack 1
		s< P. 537:1001 ack 1`},
	{name: "no MSS on IPv6: 1220", only: IPv6, steps: `
		open C=<> S=<>
		c> P. 1:1001 ack 1
		s< . 1:1001 ack 1
		c> P. 1001:1301 ack 1
		s< . 1001:1301 ack 1
		s> P. 1:1301 ack 1301
		c< . 1:1221
		c< P. 1221:1301`},
	{name: "MSS 0 and tiny MSS do no harm", steps: `
		c> S 0 <mss 0>
		s< S 0
		s> S. 0 ack 1 <mss 1>
		c< S. 0 ack 1
		c> . 1 ack 1
		c> P. 1:101 ack 1
		s< . 1 ack 1
		s< . 1:49 ack 1`},
	{name: "a new SYN with another number replaces an attempt", steps: `
		c> S 0 <mss 1000>
		s< S 0
		c= anew 100000
		c> S 0 <mss 1000>
		s= forget
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "ECN is agreed by both or by none (RFC 3168, 6.1.1)", steps: `
		c> SEW 0 <mss 1000>
		s< SEW 0
		s> S.E 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S.E 0 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1 tos 2
		s< P. 1:11 ack 1 tos 2`},
	{name: "ECN refused by the server", steps: `
		c> SEW 0 <mss 1000>
		s< SEW 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1 tos 0
		s< P. 1:11 ack 1 tos 0
		s> P. 1:11 ack 11 tos 3
		c< P. 1:11 ack 11 tos 0
		s< . 11 ack 11`},
	{name: "a SYN-ACK with ECE and CWR is no ECN-setup (RFC 3168, 6.1.1)", steps: `
		c> SEW 0 <mss 1000>
		s< SEW 0
		s> S.EW 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "SYN with one ECN flag asks for nothing", steps: `
		c> SE 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		c< S. 0 ack 1`},
	{name: "CE is echoed until CWR (RFC 3168, 6.1.3)", steps: `
		c> SEW 0 <mss 1000>
		s< SEW 0
		s> S.E 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S.E 0 ack 1
		c> . 1 ack 1
		c> . 1:1001 ack 1 tos 3
		c> P. 1001:2001 ack 1 tos 2
		c< .E 1 ack 2001
		c> P. 2001:3001 ack 1 tos 2
		c< .E 1 ack 3001
		c> PW. 3001:4001 ack 1 tos 2
		c< . 1 ack 4001`},
	{name: "ECE is answered by CWR, once", steps: `
		c> SEW 0 <mss 1000>
		s< SEW 0
		s> S.E 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S.E 0 ack 1
		c> . 1 ack 1
		s> P. 1:1001 ack 1
		c< P. 1:1001 tos 2
		c> .E 1 ack 1001
		wait 30ms
		s> P. 1001:2001 ack 1
		c< PW. 1001:2001 tos 2
		c> . 1 ack 2001
		wait 30ms
		s> P. 2001:3001 ack 1
		c< P. 2001:3001 tos 2`},
}

// simultaneousPlays are RFC 9293, 3.5, figure 8 (MUST-10): the server calls the
// client while we call the server.
var simultaneousPlays = []play{
	{name: "simultaneous open, as in figure 8", steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S 0 <mss 1000>
		s< S. 0 ack 1 again
		s> S. 0 ack 1 <mss 1000>
		c< S. 0 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1
		s> P. 1:11 ack 11
		c< P. 1:11 ack 11`},
	{name: "simultaneous open, ended by an ACK", steps: `
		c> S 0 <mss 1000,sackOK,ts,ws 7>
		s< S 0
		s> S 0 <mss 1000,ts,ws 7>
		s< S. 0 ack 1 again <mss 1000,ts,ws *>
		s> . 1 ack 1
		c< S. 0 ack 1 <mss 1000,ts,ws *>
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11 ack 1`},
}

// optionPlays are all combinations of options that a client can offer with all
// that a server can answer, more than was asked for included.
func optionPlays() []play {
	names := []string{"mss 1000", "sackOK", "ts", "ws 7"}
	pick := func(bits int) (text string) {
		var some []string
		for i, n := range names {
			if bits&(1<<i) != 0 {
				some = append(some, n)
			}
		}
		return "<" + strings.Join(some, ",") + ">"
	}
	star := strings.NewReplacer("mss 1000,", "", "mss 1000", "", "ws 7", "ws *")
	withMSS := func(bits int) string {
		rest := strings.Trim(star.Replace(pick(bits)), "<>,")
		return strings.TrimSuffix("<mss *,"+rest, ",") + ">"
	}
	var all []play
	for c := range 16 {
		for v := range 16 {
			p := play{name: fmt.Sprintf("options %s answered by %s", pick(c), pick(v))}
			p.steps = fmt.Sprintf(`
				c> S 0 %s
				s< S 0 %s
				s> S. 0 ack 1 %s
				s< . 1 ack 1
				c< S. 0 ack 1 %s
				c> . 1 ack 1
				c> P. 1:201 ack 1
				s< . 1:201 ack 1
				s> P. 1:301 ack 201
				c< . 1:301 ack 201
				c> . 201 ack 301`, pick(c), withMSS(c), pick(v), withMSS(c&v|1))
			all = append(all, p)
		}
	}
	return all
}
