package trace

// A picture shows at most so many events of a connection: the first and the
// last ones; what lies between is left out, and said.
const (
	maxPictureHead = 300
	maxPictureTail = 150
)

// Picture gathers the events of one connection, to be written as SVG.
type Picture struct {
	head, tail []*Event // tail is a ring once it is full
	next       int      // where the ring goes on
	left       int      // how many were left out
	missing    uint64   // how many never came: lost on the way to us
	end        *Event   // the verdict, if there is one
}

// Add notes an event. All but those about losses are of one connection.
func (p *Picture) Add(e *Event) {
	switch {
	case e.Type == TypeLost:
		p.missing += e.Lost
	case e.Type == TypeClosed:
		p.end = e
	case len(p.head) < maxPictureHead:
		p.head = append(p.head, e)
	case len(p.tail) < maxPictureTail:
		p.tail = append(p.tail, e)
	default:
		p.tail[p.next] = e
		p.next = (p.next + 1) % maxPictureTail
		p.left++
	}
}

// Empty tells that there is nothing to show.
func (p *Picture) Empty() bool { return len(p.head) == 0 }

// events are those to be shown, in order; a nil one stands for what was left
// out.
func (p *Picture) events() []*Event {
	list := append([]*Event(nil), p.head...)
	if p.left > 0 {
		list = append(list, nil)
	}
	list = append(list, p.tail[p.next:]...)
	return append(list, p.tail[:p.next]...)
}

// first is an event that tells who is connected.
func (p *Picture) first() *Event { return p.head[0] }
