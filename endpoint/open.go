package endpoint

// Bounds of what a peer or a configuration may ask for.
const (
	maxWindowScale = 14 // RFC 7323, 2.3
	// minMSS, options included: we depart from the RFC, which obeys any MSS,
	// because a peer could ask for segments that are nothing but header.
	minMSS = 48
	// defaultMSS4 and defaultMSS6 hold when the peer's SYN names none (MUST-15).
	defaultMSS4 = 536
	defaultMSS6 = 1220
	maxWindow16 = 65535
	maxMSS      = 65535
	maxMTU      = 1 << 30
)

// NewActive makes the endpoint of an active OPEN, in SYN-SENT; its SYN comes
// out of PollSegment.
func NewActive(now Time, cfg *Config, o Open) *Endpoint {
	e := newEndpoint(cfg, o)
	e.setState(SynSent)
	e.snd.nxt = e.snd.iss
	e.due |= dueSYN
	return e
}

// NewPassive makes the endpoint of a passive OPEN, in LISTEN, for the one
// connection whose SYN HandleSegment will be given.
func NewPassive(cfg *Config, o Open) *Endpoint {
	e := newEndpoint(cfg, o)
	e.passive = true
	e.setState(Listen)
	return e
}

func newEndpoint(cfg *Config, o Open) *Endpoint {
	e := &Endpoint{cfg: cfg, open: o.compact()}
	if o.Holder != nil {
		e.tuned().held.holder = o.Holder
	}
	e.snd.iss = o.ISS
	e.snd.una = o.ISS
	e.snd.nxt = o.ISS
	e.snd.mss = e.clampMSS(0)
	e.timer.disarm()
	e.ack.at, e.closeAt, e.keep.at = Never, Never, Never
	e.out.init(o.ISS + 1)
	e.rtt.init(cfg)
	e.rack.init()
	// RFC 6582, 3.2, step 1: recover begins as the initial send sequence number.
	e.recovery.point, e.rack.roundDSACK = o.ISS, o.ISS
	return e
}

// clampMSS turns the peer's MSS option (0: none) into the effective send MSS:
// the smaller of what the peer takes and what the path carries, less the
// options that every segment bears (MUST-16; RFC 6691).
func (e *Endpoint) clampMSS(peer int) int {
	if peer == 0 {
		peer = defaultMSS4
		if e.open.ipv6 {
			peer = defaultMSS6
		}
	}
	headers := 20 + HeaderLen
	if e.open.ipv6 {
		headers = 40 + HeaderLen
	}
	mss := peer
	if e.open.mtu > 0 {
		mss = min(mss, int(e.open.mtu)-headers)
	}
	mss = max(mss, minMSS)
	if e.ts.on {
		mss -= timestampsLen
	}
	return mss
}

// offers writes the options of our SYN, or those of the peer's SYN that we
// agree to into our SYN-ACK.
func (e *Endpoint) offers(now Time, o *Options) {
	o.Layout = e.cfg.OptionLayout
	if e.open.mss > 0 {
		o.Has |= HasMSS // SHLD-5, MAY-3
		o.MSS = uint16(e.open.mss)
	}
	answer := e.state == SynReceived
	if e.open.scale >= 0 && (!answer || e.rcv.peerScales) {
		o.Has |= HasWindowScale
		o.WindowScale = e.rcvScale()
	}
	if e.open.sack && (!answer || e.sack) {
		o.Has |= HasSACKPermitted
	}
	if e.open.timestamps && (!answer || e.ts.on) {
		e.ts.write(now, e.open.tsOffset, o)
	}
}

// synWindow is the window of our SYN or SYN-ACK: never scaled (RFC 7323, 2.2).
func (e *Endpoint) synWindow() int {
	n := min(e.room(), maxWindow16)
	if e.open.synWindow > 0 {
		n = min(n, int(e.open.synWindow))
	}
	return n
}

// rcvScale is the shift count that we announce.
func (e *Endpoint) rcvScale() uint8 { return uint8(max(e.open.scale, 0)) }

// learn takes the options of the peer's SYN or SYN-ACK: what both sides said
// holds from now on.
func (e *Endpoint) learn(now Time, s *Segment) {
	o := &s.Options
	e.rcv.irs = s.Seq
	e.rcv.nxt = s.Seq + 1
	e.ts.lastAckSent = e.rcv.nxt // by what leaves next
	e.rcv.edge = e.rcv.nxt
	if e.state == SynSent {
		// Our SYN has offered this much already.
		e.rcv.edge = e.rcv.nxt.Plus(e.synWindow())
	}
	// Both sides must have sent the option for either to scale (RFC 7323, 2.2).
	e.snd.scale, e.rcv.scale, e.rcv.peerScales = 0, 0, false
	if o.Has&HasWindowScale != 0 && e.open.scale >= 0 {
		e.rcv.peerScales = true
		// A shift above 14 is used as 14 (RFC 7323, 2.3).
		e.snd.scale = min(o.WindowScale, maxWindowScale)
		e.rcv.scale = e.rcvScale()
	}
	e.sack = e.open.sack && o.Has&HasSACKPermitted != 0
	e.ts.on = e.open.timestamps && o.Has&HasTimestamps != 0
	if e.ts.on {
		e.ts.recent, e.ts.recentAt = o.TSVal, now
	}
	e.ecnLearn(s)
	peer := 0
	if o.Has&HasMSS != 0 {
		peer = int(o.MSS)
	}
	e.snd.mss = e.clampMSS(peer)
	e.rcv.mss = min(e.announcedMSS(), defaultMSS4)
	// The window of a SYN is never scaled (RFC 7323, 2.2).
	e.snd.wnd = int(s.Window)
	e.snd.maxWnd = e.snd.wnd
	e.snd.wl1 = s.Seq
	e.snd.wl2 = s.Ack
	e.cong.init(e.cfg, e.snd.mss, e.snd.iss)
}

// opening is Open in less room.
type opening struct {
	tsOffset   uint32
	mss        int32 // at most what the option can say
	mtu        int32
	synWindow  uint16
	scale      int8
	ipv6       bool
	sack       bool
	timestamps bool
	ecn        bool
}

// compact bounds what it is given to what the options can say.
func (o *Open) compact() opening {
	return opening{
		tsOffset: o.TSOffset, ipv6: o.IPv6, sack: o.SACK, timestamps: o.Timestamps, ecn: o.ECN,
		mss:       int32(min(max(o.MSS, 0), maxMSS)),
		mtu:       int32(min(max(o.MTU, 0), maxMTU)),
		synWindow: o.SYNWindow,
		scale:     int8(min(max(o.WindowScale, -1), maxWindowScale)),
	}
}

func (e *Endpoint) announcedMSS() int {
	if e.open.mss > 0 {
		return int(e.open.mss)
	}
	if e.open.ipv6 {
		return defaultMSS6
	}
	return defaultMSS4
}
