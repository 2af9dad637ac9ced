package splice

// chain is a doubly linked list through its elements, oldest first: iteration
// over it, and so everything a shard does, has one order.
type chain[T any, P linked[T]] struct {
	first, last *T
	count       int
}

// links are an element's neighbours in the one list that it is in.
type links[T any] struct{ next, prev *T }

// linked is an element: it embeds links.
type linked[T any] interface {
	*T
	place() *links[T]
}

func (l *links[T]) place() *links[T] { return l }

func (l *chain[T, P]) add(e *T) {
	at := P(e).place()
	at.prev, at.next = l.last, nil
	if l.last != nil {
		P(l.last).place().next = e
	} else {
		l.first = e
	}
	l.last = e
	l.count++
}

func (l *chain[T, P]) remove(e *T) {
	at := P(e).place()
	if at.prev != nil {
		P(at.prev).place().next = at.next
	} else {
		l.first = at.next
	}
	if at.next != nil {
		P(at.next).place().prev = at.prev
	} else {
		l.last = at.prev
	}
	at.next, at.prev = nil, nil
	l.count--
}
