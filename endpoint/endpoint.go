package endpoint

type Endpoint struct{ _ int }

func NewActive(now Time, cfg *Config, o Open) *Endpoint                   { panic("x") } // active OPEN: SYN-SENT
func NewPassive(cfg *Config, o Open) *Endpoint                            { panic("x") } // passive OPEN: LISTEN
func (e *Endpoint) HandleSegment(now Time, s *Segment) Reason             { panic("x") }
func (e *Endpoint) HandleICMP(now Time, about Seq, err *ICMPError) Reason { panic("x") }
func (e *Endpoint) HandleTimeout(now Time)                                { panic("x") }
func (e *Endpoint) NextTimeout() Time                                     { panic("x") }
func (e *Endpoint) WriteSpace() int                                       { panic("x") }
func (e *Endpoint) Write(now Time, c Chunk)                               { panic("x") }
func (e *Endpoint) CloseWrite(now Time)                                   { panic("x") }
func (e *Endpoint) Abort(now Time)                                        { panic("x") }
func (e *Endpoint) Readable() int                                         { panic("x") }
func (e *Endpoint) Read(now Time, max int) (Chunk, bool)                  { panic("x") }
func (e *Endpoint) PollSegment(now Time, s *Segment) bool                 { panic("x") }
func (e *Endpoint) TakeEvents() Events                                    { panic("x") }
func (e *Endpoint) State() State                                          { panic("x") }
func (e *Endpoint) Info() Info                                            { panic("x") }
func (e *Endpoint) Release()                                              { panic("x") }

type Info struct {
	State                  State
	ISS, IRS               Seq
	SndUna, SndNxt, RcvNxt Seq
	SndWnd, RcvWnd         int
}
