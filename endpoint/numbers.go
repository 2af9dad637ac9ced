package endpoint

// Numbers are where a connection stands: all that somebody needs who has to
// end it for us by a RST that its peer accepts (RFC 5961, 3.2: only one with
// exactly the number it expects next).
type Numbers struct {
	SndUna, SndNxt Seq // the peer expects something from here to there
	RcvNxt         Seq
}

// Numbers returns the present ones.
func (e *Endpoint) Numbers() Numbers {
	return Numbers{SndUna: e.snd.una, SndNxt: e.snd.nxt, RcvNxt: e.rcv.nxt}
}
