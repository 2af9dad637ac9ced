package lab

// dataPlays are octets on their way: RFC 9293, 3.4 and 3.8, RFC 2018, 2883,
// 5681, 6298, 7323 and 8985, as they look from outside.
var dataPlays = []play{
	{name: "ACKs are delayed, for less than 500 ms (MUST-40)", steps: `
		open
		c> P. 1:11 ack 1
		c< . 1 ack 11 within 500ms
		s< P. 1:11 ack 1
		s> P. 1:11 ack 11
		s< . 11 ack 11 within 500ms`},
	{name: "every second full segment is acknowledged at once (SHLD-19)", steps: `
		open
		c> . 1:1001 ack 1
		c> . 1001:2001 ack 1
		c< . 1 ack 2001
		c> . 2001:3001 ack 1
		c> . 3001:4001 ack 1
		c< . 1 ack 4001
		s< . 1:1001`},
	{name: "out of order without SACK: an ACK for each, all once there", steps: `
		open
		c> . 101:201 ack 1
		c< . 1 ack 1 <>
		c> . 201:301 ack 1
		c< . 1 ack 1 <>
		s< none 50ms
		c> P. 1:101 ack 1
		c< . 1 ack 301
		s< . 1:301 ack 1`},
	{name: "out of order with SACK: blocks, latest first (RFC 2018, 4)", steps: `
		open C=<mss 1000,sackOK>
		c> . 101:201 ack 1
		c< . 1 ack 1 <sack 101:201>
		c> . 301:401 ack 1
		c< . 1 ack 1 <sack 301:401 101:201>
		c> . 501:601 ack 1
		c< . 1 ack 1 <sack 501:601 301:401 101:201>
		c> . 401:501 ack 1
		c< . 1 ack 1 <sack 301:601 101:201>
		c> . 1:101 ack 1
		c< . 1 ack 201 <sack 301:601>
		c> . 201:301 ack 1
		c< . 1 ack 601 <>
		s< . 1:201
		s< . 201:601`},
	{name: "four blocks, and three beside timestamps", steps: `
		open C=<mss 1000,sackOK,ts>
		c> . 101:201 ack 1
		c< . 1 ack 1 <ts,sack 101:201>
		c> . 301:401 ack 1
		c> . 501:601 ack 1
		c> . 701:801 ack 1
		wait 50ms
		c< drain 20ms
		c> . 901:1001 ack 1
		c< . 1 ack 1 <ts,sack 901:1001 701:801 501:601>`},
	{name: "D-SACK below the acknowledgement (RFC 2883, 4)", steps: `
		open C=<mss 1000,sackOK>
		c> P. 1:101 ack 1
		c< . 1 ack 101
		c> P. 1:101 ack 1
		c< . 1 ack 101 <sack 1:101>
		c> P. 51:151 ack 1
		c< . 1 ack 151
		s< . 1:101
		s< . 101:151`},
	{name: "D-SACK above it (RFC 2883, 4)", steps: `
		open C=<mss 1000,sackOK>
		c> . 201:401 ack 1
		c< . 1 ack 1 <sack 201:401>
		c> . 201:301 ack 1
		c< . 1 ack 1 <sack 201:301 201:401>
		c> . 1:201 ack 1
		c< . 1 ack 401
		s< . 1:401`},
	{name: "overlaps deliver each octet once and right", steps: `
		openk
		c> . 51:151 ack 1
		c> . 101:251 ack 1
		c> . 231:301 ack 1
		c> . 291:292 ack 1
		c> . 1:61 ack 1
		c> P. 301:401 ack 1
		k read 1:401
		c> . 391:501 ack 1
		k read 401:501`},
	{name: "FIN beyond a hole waits for the hole", steps: `
		openk
		c> F. 101:201 ack 1
		c< . 1 ack 1
		c> . 1:101 ack 1
		c< . 1 ack 202
		k read 1:201
		k eof`},
	{name: "what lies beyond the window is cut, what overlaps its left is taken", port: 7200, steps: `
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1 win 4096
		c> . 1 ack 1
		c> . edge-1:edge+9 ack 1
		c< . 1 ack 1
		c> . edge:edge+10 ack 1
		c< . 1 ack 1
		c> . edge ack 1
		c< . 1 ack 1
		c> . 0:11 ack 1
		s< . 1:11
		c< . 1 ack 11`},
	{name: "a keep-alive probe is answered, with its octet and without (MAY-6)", steps: `
		open
		c> . 0 ack 1
		c< . 1 ack 1 within 400ms
		c> . 0:1 ack 1
		c< . 1 ack 1
		s> . 0 ack 1
		s< . 1 ack 1
		s> . 0:1 ack 1
		s< . 1 ack 1`},
	{name: "our keep-alive probes, and the end of a peer that is gone", port: 7300, steps: `
		open
		c< . 0 ack 1 after 900ms
		c> . 1 ack 1
		c< . 0 ack 1 after 900ms
		c> . 1 ack 1
		c< . 0 ack 1 after 900ms
		c< . 0 ack 1 after 900ms
		c< R 1
		s< R 1`},
	{name: "RTO with backoff when nothing is acknowledged (RFC 6298)", steps: `
		open
		s> P. 1:101 ack 1
		c< . 1:101
		c< . 1:101 again after 190ms
		c< . 1:101 again after 390ms
		c< . 1:101 again after 780ms
		c> . 1 ack 101
		c< none 500ms`},
	{name: "a tail loss probe, then the RTO (RFC 8985, 7)", steps: `
		open C=<mss 1000,sackOK,ts>
		s> P. 1:801 ack 1
		c< . 1:801
		c< . 1:801 again
		c< . 1:801 again after 150ms
		c> . 1 ack 801
		c< none 500ms`},
	{name: "three duplicate ACKs: fast retransmit before any timeout (RFC 5681)", steps: `
		open
		s> . 1:1001 ack 1
		s> . 1001:2001 ack 1
		s> . 2001:3001 ack 1
		s> . 3001:4001 ack 1
		s> . 4001:5001 ack 1
		c< . 1:1001
		c< . 1001:2001
		c< . 2001:3001
		c< . 3001:4001
		c< . 4001:5001
		c> . 1 ack 1001
		c> . 1 ack 1001
		c> . 1 ack 1001
		c> . 1 ack 1001
		c< . 1001:2001 again within 190ms
		c> . 1 ack 5001
		c< none 300ms`},
	{name: "SACK repairs the hole, and the hole only", steps: `
		open C=<mss 1000,sackOK>
		s> . 1:1001 ack 1
		s> . 1001:2001 ack 1
		s> . 2001:3001 ack 1
		s> . 3001:4001 ack 1
		s> . 4001:5001 ack 1
		c< . 1:1001
		c< . 1001:2001
		c< . 2001:3001
		c< . 3001:4001
		c< . 4001:5001
		c> . 1 ack 1001
		c> . 1 ack 1001 <sack 2001:3001>
		c> . 1 ack 1001 <sack 2001:4001>
		c> . 1 ack 1001 <sack 2001:5001>
		c< . 1001:2001 again within 190ms
		c> . 1 ack 5001
		c< none 300ms`},
	{name: "SACK of what was never sent is no harm", steps: `
		open C=<mss 1000,sackOK>
		s> P. 1:101 ack 1
		c< . 1:101
		c> . 1 ack 1 <sack 5001:6001>
		c> . 1 ack 1 <sack 101:51>
		c> . 1 ack 1 <sack 1:1000001>
		c< . 1:101 again after 100ms
		c> . 1 ack 101
		s> P. 101:201 ack 1
		c< . 101:201`},
	{name: "PAWS: an old timestamp is acknowledged and dropped (RFC 7323, 5.3)", steps: `
		open C=<mss 1000,sackOK,ts>
		c> P. 1:11 ack 1 <ts 1000100 *>
		c< . 1 ack 11 <ts * 1000100>
		c> P. 11:21 ack 1 <ts 1000099 *>
		c< . 1 ack 11 <ts * 1000100>
		c> P. 11:21 ack 1 <ts 1000100 *>
		c< . 1 ack 21 <ts * 1000100>
		s< . 1:11
		s< . 11:21
		c> R 21 <ts 5 0>
		s< R 21`},
	{name: "what is echoed (RFC 7323, 4.3)", steps: `
		open C=<mss 1000,sackOK,ts>
		c> . 1:101 ack 1 <ts 1000100 *>
		c< . 1 ack 101 <ts * 1000100>
		c> . 201:301 ack 1 <ts 1000110 *>    # out of order: not echoed
		c< . 1 ack 101 <ts * 1000100,sack 201:301>
		c> . 101:201 ack 1 <ts 1000105 *>    # fills the hole: echoed
		c< . 1 ack 301 <ts * 1000105>
		c> . 301:401 ack 1 <ts 1000120 *>
		c< . 1 ack 401 <ts * 1000120>
		s< . 1:101
		s< . 101:301`},
	{name: "of two segments the earlier one's is echoed (RFC 7323, 4.3)", steps: `
		open C=<mss 1000,sackOK,ts>
		c> . 1:501 ack 1 <ts 1000100 *>
		c> . 501:601 ack 1 <ts 1000110 *>
		c< . 1 ack 601 <ts * 1000100>`},
	{name: "urgent data is relayed, pointer and octets", steps: `
		open
		c> PU. 1:11 ack 1 urg 5
		s< PU. 1:11 ack 1 urg 5
		s> . 1 ack 11
		c> P. 11:21 ack 1
		s< P. 11:21 ack 1 urg 0
		s> PU. 1:11 ack 21 urg 10
		c< PU. 1:11 urg 10`},
	{name: "an urgent pointer far ahead", steps: `
		open
		c> U. 1:11 ack 1 urg 1500
		s< U. 1:11 urg 1500
		s> . 1 ack 11
		c> U. 11:1011 ack 1 urg 1490
		s< U. 11:1011 urg 1490
		s> . 1 ack 1011
		c> U. 1011:2011 ack 1 urg 490
		s< U. 1011:2011 urg 490`},
	{name: "DSCP goes across, ECN bits do not", steps: `
		open
		c> P. 1:11 ack 1 tos 184
		s< P. 1:11 ack 1 tos 184
		c> P. 11:21 ack 1 tos 3
		s< P. 11:21 ack 1 tos 0`},
	{name: "ICMP with a wrong number changes nothing (RFC 5927)", steps: `
		open
		s> P. 1:101 ack 1
		c< . 1:101
		c> . 1 ack 101
		wait 20ms
		c! 3 4 5001 600
		c! 3 3 101 0
		c! 3 1 5001 0
		wait 20ms
		s> P. 101:1101 ack 1
		c< . 101:1101`, only: IPv4},
	{name: "hard ICMP errors end no connection (RFC 5927, 5.2)", steps: `
		open
		s> P. 1:101 ack 1
		c< . 1:101
		c! 3 3 1 0
		c! 3 2 1 0
		wait 20ms
		c> . 1 ack 101
		c> P. 1:11 ack 101
		s< P. 1:11`, only: IPv4},
	{name: "hard ICMPv6 errors end no connection (RFC 5927, 5.2)", steps: `
		open
		s> P. 1:101 ack 1
		c< . 1:101
		c! 1 4 1 0
		c! 1 1 1 0
		wait 20ms
		c> . 1 ack 101
		c> P. 1:11 ack 101
		s< P. 1:11`, only: IPv6},
	{name: "port unreachable refuses in SYN-SENT", only: IPv4, steps: `
		c> S 0 <mss 1000>
		s< S 0
		s! 3 3 0 0
		c< icmp 3 3`},
	{name: "port unreachable refuses in SYN-SENT, IPv6", only: IPv6, steps: `
		c> S 0 <mss 1000>
		s< S 0
		s! 1 4 0 0
		c< icmp 1 4`},
	{name: "fragmentation needed makes segments smaller", only: IPv4, steps: `
		open C=<mss 1400,sackOK> S=<mss 1400,sackOK>
		s> P. 1:1401 ack 1
		c< . 1:1401
		c! 3 4 1 1000
		c< . 1:961 within 190ms
		c< . 961:1401
		c> . 1 ack 1401
		s> P. 1401:2801 ack 1
		c< . 1401:2361
		c< . 2361:2801`},
	{name: "packet too big makes segments smaller", only: IPv6, steps: `
		open C=<mss 1400,sackOK> S=<mss 1400,sackOK>
		s> P. 1:1401 ack 1
		c< . 1:1401
		c! 2 0 1 1300
		c< . 1:1241 within 190ms
		c< . 1241:1401
		c> . 1 ack 1401
		s> P. 1401:2801 ack 1
		c< . 1401:2641
		c< . 2641:2801`},
	{name: "a silly MTU is not believed", only: IPv4, steps: `
		open C=<mss 1400,sackOK> S=<mss 1400,sackOK>
		s> P. 1:1401 ack 1
		c< . 1:1401
		c! 3 4 1 68
		c< . 1:513 again within 190ms`},
}

// flowPlays are windows: RFC 9293, 3.8.6.
var flowPlays = []play{
	{name: "a window of zero is probed with backoff, and for long", steps: `
		open
		c> . 1 ack 1 win 0
		wait 30ms
		s> P. 1:1001 ack 1
		c< . 1:2 after 150ms
		c> . 1 ack 1 win 0
		c< . 1:2 again after 350ms
		c> . 1 ack 1 win 0
		c< . 1:2 again after 700ms
		c> . 1 ack 1 win 5000
		c< . 1:2 again within 400ms
		c< . 2:1001 within 400ms`},
	{name: "the octet of a probe may be taken", steps: `
		open
		c> . 1 ack 1 win 0
		wait 30ms
		s> P. 1:1001 ack 1
		c< . 1:2
		c> . 1 ack 2 win 0
		c< . 2:3
		c> . 1 ack 3 win 2000
		c< . 3:1001 within 400ms`},
	{name: "a window of zero is closed by FIN with the text", steps: `
		open
		c> . 1 ack 1 win 0
		wait 30ms
		s> F. 1:11 ack 1
		c< . 1:2
		c> . 1 ack 2 win 100
		c< F. 2:11
		c> . 1 ack 12`},
	{name: "a FIN alone probes a window of zero", steps: `
		open
		c> . 1 ack 1 win 0
		wait 30ms
		s> F. 1 ack 1
		c< F. 1
		c> . 1 ack 2 win 0
		c> F. 1 ack 2 win 0
		c< . 2 ack 2`},
	{name: "a shrunk window: nothing new beyond it, nothing lost (SHLD-15)", steps: `
		open
		c> . 1 ack 1 win 3000
		wait 30ms
		s> . 1:1001 ack 1
		s> . 1001:2001 ack 1
		s> . 2001:3001 ack 1
		s> . 3001:4001 ack 1
		c< . 1:1001
		c< . 1001:2001
		c< . 2001:3001
		c< none 100ms
		c> . 1 ack 1001 win 500
		c< none 100ms
		c> . 1 ack 3001 win 4000
		c< . 3001:4001`},
	{name: "sender's silly window avoidance (MUST-38)", steps: `
		open
		c> . 1 ack 1 win 2000
		wait 30ms
		s> . 1:1001 ack 1
		s> . 1001:2001 ack 1
		s> P. 2001:3001 ack 1
		c< . 1:1001
		c< . 1001:2001
		c> . 1 ack 2001 win 10
		c< none 100ms
		c> . 1 ack 2001 win 1000
		c< . 2001:3001 within 190ms`},
	{name: "a real server that does not read shuts the window, and opens it", port: 7200, steps: `
		openk
		c> P. 1:1001 ack 1
		k read 1:1001
		c< . 1 ack 1001`},
}

// attackPlays are RFC 5961 and its like.
var attackPlays = []play{
	{name: "RST off the exact place is challenged (RFC 5961, 3.2)", steps: `
		open
		c> R 2
		c< . 1 ack 1
		c> R edge-1
		c< . 1 ack 1
		c> R edge
		c> R 0
		c> R edge+1
		c< none 150ms
		c> R. 2 ack 1
		c< . 1 ack 1
		s> R 5
		s< . 1 ack 1
		c> R 1
		s< R 1`},
	{name: "SYN in a connection is challenged (RFC 5961, 4.2)", steps: `
		open
		c> S 1
		c< . 1 ack 1
		c> S 500
		c< . 1 ack 1
		c> S 0 <mss 1000>
		c< . 1 ack 1
		c> S edge+1000
		c< . 1 ack 1
		c> S. 1 ack 1
		c< . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11`},
	{name: "ACK out of range (RFC 5961, 5.2)", steps: `
		open
		c> P. 1:11 ack 2
		c< . 1 ack 1
		c> P. 1:11 ack 4294000000
		c< . 1 ack 1
		s< none 50ms
		c> P. 1:11 ack 1
		s< P. 1:11`},
	{name: "challenges are limited (RFC 5961, 7)", steps: `
		open
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c> S 1
		c< . 1 ack 1
		c< drain 100ms
		c> P. 1:11 ack 1
		s< P. 1:11`},
	{name: "a RST goes across, at the exact place", steps: `
		open
		c> P. 1:11 ack 1
		s< P. 1:11
		s> . 1 ack 11
		wait 20ms
		c> R 11
		s< R 11`},
	{name: "a real client's reset reaches the server", steps: `
		kopen
		k linger0
		k close
		s< R 1`},
	{name: "a real client is reset by the server", steps: `
		kopen
		s> R. 1 ack 1
		k reset`},
	{name: "a real server is reset by the client", steps: `
		openk
		c> R 1
		k reset`},
	{name: "a reset overtakes what was not delivered", steps: `
		openk
		c> R. 1 ack 1
		k reset`},
}

// closePlays are RFC 9293, 3.6.
var closePlays = []play{
	{name: "FIN with text, both ways; the last FIN again", steps: `
		open
		c> F. 1:101 ack 1
		s< F. 1:101 ack 1
		c< . 1 ack 102
		s> F. 1:51 ack 102
		c< F. 1:51 ack 102
		s< . 102 ack 52
		c> . 102 ack 52
		s> F. 1:51 ack 102
		s< . 102 ack 52`},
	{name: "FIN+ACK at once, to TIME-WAIT", steps: `
		open
		c> F. 1 ack 1
		c< . 1 ack 2
		s< F. 1 ack 1
		s> F. 1 ack 2
		s< . 2 ack 2
		c< F. 1 ack 2
		c> . 2 ack 2
		s> F. 1 ack 2
		s< . 2 ack 2
		s> . 2 ack 2
		s< none 100ms`},
	{name: "simultaneous close: CLOSING, then TIME-WAIT", steps: `
		open
		s> F. 1 ack 1
		s< . 1 ack 2
		c< F. 1 ack 1
		c> F. 1 ack 1
		c< . 2 ack 2
		c> . 2 ack 2
		s< F. 1 ack 2
		s> . 2 ack 2
		c> F. 1 ack 2
		c< . 2 ack 2`},
	{name: "a half-closed connection carries the other half", steps: `
		open
		c> F. 1 ack 1
		s< F. 1 ack 1
		c< . 1 ack 2
		s> . 1 ack 2
		wait 1500ms
		s> P. 1:1001 ack 2
		c< . 1:1001 ack 2
		c> . 2 ack 1001
		s< . 2 ack 1001
		wait 1500ms
		s> F. 1001:1501 ack 2
		c< F. 1001:1501 ack 2
		c> . 2 ack 1502
		s< . 2 ack 1502`},
	{name: "half-close with a real server", steps: `
		openk
		c> F. 1:11 ack 1
		c< . 1 ack 12
		k read 1:11
		k eof
		wait 1000ms
		k write 1:5001
		c< . 1:1001 ack 12
		c< . 1001:2001 ack 12
		c< . 2001:3001 ack 12
		c< . 3001:4001 ack 12
		c< . 4001:5001 ack 12
		c> . 12 ack 5001
		k close
		c< F. 5001 ack 12
		c> . 12 ack 5002`},
	{name: "half-close with a real client", steps: `
		kopen
		s> F. 1:11 ack 1
		s< . 1 ack 12
		k read 1:11
		k eof
		wait 1000ms
		k write 1:5001
		s< . 1:1001 ack 12
		s< . 1001:2001 ack 12
		s< . 2001:3001 ack 12
		s< . 3001:4001 ack 12
		s< . 4001:5001 ack 12
		s> . 12 ack 5001
		k close
		s< F. 5001 ack 12
		s> . 12 ack 5002`},
	{name: "our FIN comes again at the same place", steps: `
		open
		s> F. 1:11 ack 1
		c< F. 1:11 ack 1
		c< F. 1:11 ack 1 again after 150ms
		c< F. 1:11 ack 1 again after 350ms
		c> . 1 ack 12
		c< none 300ms`},
	{name: "text after FIN is not taken", steps: `
		open
		c> F. 1:11 ack 1
		c< . 1 ack 12
		s< F. 1:11
		c> P. 12:22 ack 1
		s< none 150ms
		c> . 12 ack 1
		s> P. 1:11 ack 12
		c< P. 1:11 ack 12`},
	{name: "TIME-WAIT: RST does not end it (RFC 1337), SYN of old does not begin", steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1
		s< . 1 ack 2
		c> F. 1 ack 2
		c< . 2 ack 2
		s< F. 1 ack 2
		s> . 2 ack 2
		wait 20ms
		c> R 2
		c> F. 1 ack 2
		c< . 2 ack 2
		c> S 1 <mss 1000>
		c< . 2 ack 2
		c> P. 2:12 ack 2
		c> . 2 ack 2
		c< none 100ms`},
	{name: "TIME-WAIT is taken over by a later SYN", steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1
		s< . 1 ack 2
		c> F. 1 ack 2
		c< . 2 ack 2
		s< F. 1 ack 2
		s> . 2 ack 2
		wait 30ms
		s= anew 100000
		c= anew 100000
		c> S 0 <mss 1000>
		s< S 0
		s> S. 0 ack 1 <mss 1000>
		s< . 1 ack 1
		c< S. 0 ack 1
		c> . 1 ack 1
		c> P. 1:11 ack 1
		s< P. 1:11`},
	{name: "TIME-WAIT is taken over by a later timestamp (RFC 6191)", steps: `
		open C=<mss 1000,ts>
		s> F. 1 ack 1
		c< F. 1 ack 1
		s< . 1 ack 2
		c> F. 1 ack 2
		c< . 2 ack 2
		s< F. 1 ack 2
		s> . 2 ack 2
		wait 30ms
		s= anew 100000
		c= anew 4294867296
		c> S 0 <mss 1000,ts 1000500 0>
		s< S 0
		s> S. 0 ack 1 <mss 1000,ts 1000500 *>
		s< . 1 ack 1
		c< S. 0 ack 1`},
	{name: "after TIME-WAIT nothing is known", port: 7100, steps: `
		open
		s> F. 1 ack 1
		c< F. 1 ack 1
		s< . 1 ack 2
		c> F. 1 ack 2
		c< . 2 ack 2
		s< F. 1 ack 2
		s> . 2 ack 2
		wait 1s
		c> F. 1 ack 2
		c< . 2 ack 2
		wait 1500ms
		c> F. 1 ack 2
		c< . 2 ack 2`},
	{name: "LAST-ACK: the ACK of the FIN ends all", steps: `
		open
		c> F. 1 ack 1
		c< . 1 ack 2
		s< F. 1
		s> F. 1 ack 2
		s< . 2 ack 2
		c< F. 1 ack 2
		c> . 2 ack 1
		c< F. 1 ack 2 again
		c> . 2 ack 2
		c< none 500ms`},
	{name: "FIN acknowledges text", steps: `
		open
		s> P. 1:101 ack 1
		c< P. 1:101
		c> F. 1 ack 101
		c< . 101 ack 2
		c< none 300ms
		s< F. 1 ack 101`},
}
