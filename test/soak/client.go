package soak

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"tcpmitm/test/lab"
)

// setUserTimeout bounds how long data may go unacknowledged (RFC 5482).
func setUserTimeout(c *net.TCPConn, d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	return errors.Join(err, set)
}

// client gives orders.
type client struct {
	lab   *lab.Lab
	waits waits
}

func (k *client) dial(f lab.Family, port uint16) (patient, error) {
	limit := k.waits.client(classOf(port))
	c, err := k.lab.Client.Dial(f.At(port), limit)
	if err != nil {
		return patient{}, fmt.Errorf("connect to port %d, %v: %w", port, f, err)
	}
	k.waits.prepare(c)
	return patient{c, limit}, nil
}

// carry connects, gives an order and sees it through. pause is how long the
// client rests after each chunk that it reads.
func (k *client) carry(f lab.Family, port uint16, o order, pause time.Duration) error {
	p, err := k.dial(f, port)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := k.see(p, &o, pause); err != nil {
		return fmt.Errorf("port %d, %v, %v, %d up, %d down, from %v: %w", port, f, o.end, o.up, o.down, p.LocalAddr(), err)
	}
	return nil
}

func (k *client) see(p patient, o *order, pause time.Duration) error {
	if _, err := p.Write(o.encode()); err != nil {
		return err
	}
	up := o.up
	if o.end == clientAbandons {
		up /= 2
	}
	sent := make(chan error, 1)
	go func() {
		err := send(p, o.id, false, up)
		if o.end == halfCloses && err == nil {
			err = p.CloseWrite()
		}
		sent <- err
	}()
	// What ends one way ends the other, too: nobody waits for its patience.
	fail := func(err error) error {
		_ = p.SetLinger(0)
		_ = p.Close()
		second := <-sent
		if errors.Is(second, net.ErrClosed) {
			second = nil
		}
		return errors.Join(err, second)
	}
	if o.end == clientAbandons {
		if err := receive(p, o.id, true, o.down/2, pause); err != nil {
			return fail(err)
		}
		return errors.Join(p.SetLinger(0), <-sent)
	}
	err := receive(p, o.id, true, o.down, pause)
	if o.end == serverAbandons {
		if err == nil {
			return fail(errors.New("the server has not abandoned it"))
		}
		return abandoned(fail(err))
	}
	if err != nil {
		return fail(err)
	}
	var b [1]byte
	if _, err := io.ReadFull(p, b[:]); err != nil {
		return fail(fmt.Errorf("with only the server's last octet to be read: %w", err))
	}
	if b[0] != done {
		return fail(fmt.Errorf("%w: the server's last octet is %#x", errWrong, b[0]))
	}
	if err := <-sent; err != nil {
		return err
	}
	return finish(p, o.end)
}

// abandoned takes the errors that a connection has which the server resets in
// the middle.
func abandoned(err error) error {
	reset := errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
	if reset && !errors.Is(err, errWrong) && !errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// finish ends a connection on which all has been said.
func finish(p patient, e ending) error {
	var b [1]byte
	switch e {
	case clientResets:
		return p.SetLinger(0)
	case serverResets:
		if err := say(p); err != nil {
			return err
		}
		if n, err := p.Read(b[:]); n != 0 || !errors.Is(err, unix.ECONNRESET) {
			return fmt.Errorf("the server resets, and the client reads %d octets, %w", n, err)
		}
	case serverCloses, halfCloses:
		if n, err := p.Read(b[:]); n != 0 || err != io.EOF {
			return fmt.Errorf("the server closes, and the client reads %d octets, %w", n, err)
		}
	default:
		if err := p.CloseWrite(); err != nil {
			return err
		}
		if n, err := p.Read(b[:]); n != 0 || err != io.EOF {
			return fmt.Errorf("the client has closed, and reads %d octets, %w", n, err)
		}
	}
	return nil
}

// exchange says something on an echoing connection, and wants it back.
func exchange(p patient, id uint64, n int) error {
	if err := send(p, id, false, n); err != nil {
		return err
	}
	return receive(p, id, false, n, 0)
}
