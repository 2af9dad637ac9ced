package splice

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"tcpmitm/endpoint"
	"tcpmitm/rules"
)

// A SYN cookie is an ISS that proves, when its acknowledgement comes back,
// that we have sent it (RFC 4987, 3.6): nothing of the SYN needs to be kept.
//
//	bits 31..29  index of the client's MSS in cookieMSS
//	bits 28..15  MAC of the addresses, ports, MSS index and time
//	bits 14..0   MAC of the same and the client's ISN
//
// The first MAC alone tells that an ACK answers a cookie of ours although its
// sequence number is not the one that follows the SYN: the client's segments
// were reordered. Such a one is dropped, for without a flow it would go on to
// the server, which would reset the client. It is, if the client was sent a
// cookie at all (cookieclients.go): for anybody else's connection, of which we
// know nothing, that number may by chance be its ACK for a long time.
//
// What else the client offered travels in the low bits of our timestamp, if
// the client uses timestamps; if not, there is neither window scaling nor
// SACK.
const (
	// cookiePeriod is the grain of a cookie's time; it is good for at least
	// one and at most two periods.
	cookiePeriod = 64 * time.Second
	cookieBits   = 29
	proofBits    = 15
	placeMask    = 1<<(cookieBits-proofBits) - 1
	proofMask    = 1<<proofBits - 1

	tsBits      = 5
	tsMask      = 1<<tsBits - 1
	tsSACK      = 1 << 4
	tsScaleMask = 0xf
	tsNoScale   = 0xf // shifts end at 14
)

// cookieMSS are the MSS values that a cookie can tell apart: the usual ones.
var cookieMSS = [1 << (32 - cookieBits)]uint16{216, defaultMSS4, defaultMSS6, 1360, 1400, 1440, 1460, 8960}

// cookieJar makes and checks cookies.
type cookieJar struct {
	block   cipher.Block
	until   endpoint.Time // cookies of ours may be acknowledged until then
	clients cookieClients
}

func (j *cookieJar) init(secret [32]byte) {
	// The key differs from that of sequence numbers, or one would tell of
	// the other.
	key := sha256.Sum256(append(secret[:], "syn cookie"...))
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic("splice: " + err.Error()) // 16 octets are a key
	}
	j.block = block
}

// make returns the cookie for a SYN from t with sequence number irs.
func (j *cookieJar) make(now endpoint.Time, t *endpoint.Tuple, irs endpoint.Seq, mss int) endpoint.Seq {
	count := cookieCount(now)
	place, proof := j.place(t, mss, count), j.proof(t, irs, mss, count)
	return endpoint.Seq(uint32(mss)<<cookieBits | place<<proofBits | proof)
}

// check tells whether iss is a cookie of ours that is not too old, whether it
// was made for a SYN with sequence number irs, and the MSS index in it.
func (j *cookieJar) check(now endpoint.Time, t *endpoint.Tuple, irs, iss endpoint.Seq) (mss int, ours, valid bool) {
	mss = int(iss >> cookieBits)
	place, proof := uint32(iss)>>proofBits&placeMask, uint32(iss)&proofMask
	for age := range uint64(2) {
		count := cookieCount(now) - age
		if place == j.place(t, mss, count) {
			ours = true
			valid = valid || proof == j.proof(t, irs, mss, count)
		}
	}
	return mss, ours, valid
}

func (j *cookieJar) place(t *endpoint.Tuple, mss int, count uint64) uint32 {
	return j.mac(t, 0, mss, count<<1) & placeMask
}

func (j *cookieJar) proof(t *endpoint.Tuple, irs endpoint.Seq, mss int, count uint64) uint32 {
	return j.mac(t, irs, mss, count<<1|1) & proofMask
}

func cookieCount(now endpoint.Time) uint64 { return uint64(now) / uint64(cookiePeriod) }

// mac is a CBC-MAC over three blocks; the input's length never varies.
func (j *cookieJar) mac(t *endpoint.Tuple, irs endpoint.Seq, mss int, count uint64) uint32 {
	x := j.cbc(t, irs, mss, count)
	return binary.BigEndian.Uint32(x[:])
}

func (j *cookieJar) cbc(t *endpoint.Tuple, irs endpoint.Seq, mss int, count uint64) (x [aes.BlockSize]byte) {
	var in [3 * aes.BlockSize]byte
	copy(in[0:16], t.Src[:])
	copy(in[16:32], t.Dst[:])
	binary.BigEndian.PutUint16(in[32:], t.SrcPort)
	binary.BigEndian.PutUint16(in[34:], t.DstPort)
	binary.BigEndian.PutUint32(in[36:], uint32(irs))
	binary.BigEndian.PutUint64(in[40:], count<<3|uint64(mss))
	for i := 0; i < len(in); i += aes.BlockSize {
		for k := range x {
			x[k] ^= in[i+k]
		}
		j.block.Encrypt(x[:], x[:])
	}
	return x
}

// canCookie tells whether a SYN can be answered statelessly: not if its
// destination was translated, for the ACK will not tell to what, nor if a
// rule does anything to the SYN or the SYN-ACK, or gives the client leg a
// profile of its own, for that needs somebody to wait, count and remember.
func (s *Shard) canCookie(p *endpoint.Packet, r *rules.Rule) bool {
	return !p.Original.IsValid() && s.profileOf(r).keptByCookie() && (r == nil || !r.SimultaneousOpen)
}

// keptByCookie tells whether nothing of the profile is lost with a SYN of
// which nothing is kept.
func (p *profile) keptByCookie() bool {
	return p.legs[endpoint.Client].keptByCookie() && !p.moments.holdsKind(endpoint.Client, endpoint.HeldSYNACK) &&
		!p.program.Touches(endpoint.Client, false, rules.SYN) && !p.program.Touches(endpoint.Client, true, rules.SYNACK)
}

// sendCookie answers a SYN without keeping anything of it.
func (s *Shard) sendCookie(now endpoint.Time, p *endpoint.Packet, key endpoint.Tuple) {
	out := key.Reverse()
	open := s.openOurs(now, &out)
	mss := 0
	for i, v := range cookieMSS {
		if v <= p.Options.MSS {
			mss = i
		}
	}
	s.reply = endpoint.Segment{
		Seq:    s.cookies.make(now, &key, p.Seq, mss),
		Ack:    p.Seq + 1,
		Flags:  endpoint.SYN | endpoint.ACK,
		Window: uint16(min(s.opt.Endpoint.ReceiveBuffer, 65535)),
	}
	o := &s.reply.Options
	o.Has, o.MSS = endpoint.HasMSS, uint16(open.MSS)
	if p.Options.Has&endpoint.HasTimestamps != 0 {
		bits := uint32(tsNoScale)
		if p.Options.Has&endpoint.HasWindowScale != 0 {
			bits = uint32(min(p.Options.WindowScale, 14))
			o.Has |= endpoint.HasWindowScale
			o.WindowScale = uint8(open.WindowScale)
		}
		if p.Options.Has&endpoint.HasSACKPermitted != 0 {
			bits |= tsSACK
			o.Has |= endpoint.HasSACKPermitted
		}
		o.Has |= endpoint.HasTimestamps
		o.TSVal = cookieTSVal(now, open.TSOffset, bits)
		o.TSEcr = p.Options.TSVal
	}
	s.cookies.until = now.Add(2 * cookiePeriod)
	s.cookies.remember(now, &key)
	s.syns.cookieSent(now, s.budget, &key)
	s.counters.CookiesSent++
	s.emit(endpoint.Client, &out, Header{DSCP: p.DSCP, Loopback: towardsCaller(p)}, &s.reply)
}

// cookieTSVal is the latest timestamp that has bits at its end and is not
// ahead of the clock: the endpoint that follows must not go back.
func cookieTSVal(now endpoint.Time, offset, bits uint32) uint32 {
	clock := endpoint.TSVal(now, offset)
	v := clock&^tsMask | bits
	if int32(v-clock) > 0 {
		v -= tsMask + 1
	}
	return v
}

// openFromCookie makes the flow of a client that acknowledges a cookie, and
// tells whether p did so.
func (s *Shard) openFromCookie(now endpoint.Time, p *endpoint.Packet) bool {
	const mask = endpoint.SYN | endpoint.ACK | endpoint.RST
	if now > s.cookies.until {
		s.cookies.forgetClients()
		s.repeats.forget(now)
		return false
	}
	if p.Flags&mask != endpoint.ACK {
		return false
	}
	iss, irs := p.Ack-1, p.Seq-1
	mss, ours, valid := s.cookies.check(now, &p.Tuple, irs, iss)
	if !valid && len(p.Payload) <= 1 {
		// The ACK was lost, and a client that waits for the server to speak
		// sends nothing again but keep-alives, which are one octet behind it
		// (RFC 9293, 3.8.4): such a one stands for the ACK.
		if mss, _, valid = s.cookies.check(now, &p.Tuple, p.Seq, iss); valid {
			irs = p.Seq
			p.Seq, p.Payload = irs+1, nil
		}
	}
	if !valid {
		if ours = ours && s.cookies.sentTo(&p.Tuple); ours {
			// The client sends again what it has sent ahead of this.
			s.drop(endpoint.ReasonBadAck)
		}
		return ours
	}
	f := &flow{deadline: endpoint.Never}
	if d, known := s.memory.find(decisionKey{p.Tuple, irs}); known {
		f.id = d.conn
	}
	if why := s.takePlace(now, f, &p.Tuple); why != endpoint.ReasonNone {
		// The client sends its data again; there may be room by then.
		s.drop(why)
		return true
	}
	s.counters.CookiesAccepted++
	s.syns.cookieCame(now, s.budget, &p.Tuple)
	s.repeats.cameBack()
	s.ruled(f, s.ruleOfCookie(now, p, irs))
	s.addFlow(f, p.Tuple, p.Tuple.Reverse())
	f.overLoopback(p)
	s.answerCookie(now, f, iss, cookieSYN(p, mss))
	s.arrive(now, f, endpoint.Client, &p.Segment)
	s.markDirty(f)
	return true
}

// ruleOfCookie is the rule that the SYN met, if that is still known, or else
// what the rules say now; a rule that would not splice comes too late.
func (s *Shard) ruleOfCookie(now endpoint.Time, p *endpoint.Packet, irs endpoint.Seq) decision {
	if d, ok := s.memory.find(decisionKey{p.Tuple, irs}); ok && d.action == rules.Splice {
		return d
	}
	r, ordinal := s.firstRule(now, p)
	if r == nil || r.Action != rules.Splice || !s.profileOf(r).keptByCookie() || r.SimultaneousOpen {
		return decision{}
	}
	return decision{rule: r, ordinal: ordinal}
}

// cookieSYN is the SYN as far as the cookie and the ACK tell of it.
func cookieSYN(p *endpoint.Packet, mss int) *endpoint.Segment {
	syn := &endpoint.Segment{Seq: p.Seq - 1, Flags: endpoint.SYN, Window: p.Window}
	o := &syn.Options
	o.Has, o.MSS = endpoint.HasMSS, cookieMSS[mss]
	if p.Options.Has&endpoint.HasTimestamps != 0 {
		o.Has |= endpoint.HasTimestamps
		o.TSVal = p.Options.TSVal
		bits := p.Options.TSEcr & tsMask
		if scale := bits & tsScaleMask; scale != tsNoScale {
			o.Has |= endpoint.HasWindowScale
			o.WindowScale = uint8(scale)
		}
		if bits&tsSACK != 0 {
			o.Has |= endpoint.HasSACKPermitted
		}
	}
	return syn
}

// answerCookie opens the client leg as it would be if it had sent the
// SYN-ACK, which is therefore thrown away.
func (s *Shard) answerCookie(now endpoint.Time, f *flow, iss endpoint.Seq, syn *endpoint.Segment) {
	l := &f.legs[endpoint.Client]
	o := s.openOurs(now, &l.out)
	o.ISS, o.ECN = iss, false
	o.Holder = s.holderOf(f, endpoint.Client)
	l.iss = iss
	l.ep = endpoint.NewPassive(&f.profile.legs[endpoint.Client].cfg, o)
	f.phase = answering
	f.deadline = s.handshakeDeadline(f, endpoint.Never)
	f.mirror = s.spareOptions.keep(syn.Options)
	s.drop(l.ep.HandleSegment(now, syn))
	s.learnSYN(f, endpoint.Client, syn)
	for n := 0; n < maxSegmentsPerTurn && l.ep.PollSegment(now, &s.seg); n++ {
		if s.seg.Flags.Has(endpoint.SYN) {
			l.offeredScale = s.seg.Options.Has&endpoint.HasWindowScale != 0
			l.offered = s.seg.Options.WindowScale
			l.settleScale()
			if f.stage != nil {
				f.stage.Synchronize(endpoint.Client, iss, syn.Seq, &s.seg.Options, &syn.Options)
			}
		}
	}
	l.note()
}
