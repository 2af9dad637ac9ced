package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tcpmitm/test/lab"
)

// kind is one kind of traffic, of which new pieces begin all the time.
type kind struct {
	name  string
	every time.Duration // between two, in the mean, with a load of 1
	most  int           // at once
	play  func(t *traffic, d draws, name string)
}

// kinds of traffic. What each amounts to is in the report.
var kinds = []kind{
	{"short", 45 * time.Millisecond, 80, (*traffic).short},
	{"bulk", 900 * time.Millisecond, 12, (*traffic).bulk},
	{"slow reader", 2 * time.Second, 8, (*traffic).slowReader},
	{"keep-alive requests", 400 * time.Millisecond, 16, (*traffic).requests},
	{"refused", 500 * time.Millisecond, 4, (*traffic).refused},
	{"nobody there", 5 * time.Second, 4, (*traffic).nobodyThere},
	{"fallen off the network", 8 * time.Second, 6, (*traffic).fallOff},
	{"SYN burst", 12 * time.Second, 1, (*traffic).burst},
	{"stopped client", 9 * time.Second, 3, (*traffic).stopped},
	{"operator", 4 * time.Second, 2, (*traffic).operator},
}

// traffic is all that clients do.
type traffic struct {
	plan    *Plan
	lab     *lab.Lab
	proxy   *lab.Proxy
	client  *client
	server  *server
	tally   *tally
	web     *http.Client
	webSums map[string]string // of what nginx serves, by path
	ids     atomic.Uint64
	quit    context.Context

	pieces sync.WaitGroup
}

// generate begins pieces of each kind until ctx is done, and returns when all
// have ended.
func (t *traffic) generate(ctx context.Context) {
	var all sync.WaitGroup
	for i := range kinds {
		all.Go(func() { t.begin(ctx, &kinds[i]) })
	}
	all.Wait()
	t.pieces.Wait()
}

func (t *traffic) begin(ctx context.Context, k *kind) {
	d := t.plan.stream("traffic " + k.name)
	slots := make(chan struct{}, max(1, int(float64(k.most)*max(1, t.plan.Load))))
	for n := 0; ; n++ {
		wait := time.Duration(d.ExpFloat64() * float64(k.every) / t.plan.Load)
		if n == 0 {
			wait = min(wait, t.plan.Duration/8) // each kind takes place
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(wait, 10*k.every)):
		}
		// Each piece draws for itself, for they go on side by side.
		own := t.plan.stream(fmt.Sprint("traffic ", k.name, " ", n))
		select {
		case slots <- struct{}{}:
			t.pieces.Go(func() {
				k.play(t, own, k.name)
				<-slots
			})
		default:
			t.tally.note(k.name, skipped, 0, nil)
		}
	}
}

func family(d draws) lab.Family { return pick(d, lab.IPv4, lab.IPv6) }

// place draws where a connection goes: mostly to ports where it must succeed.
func place(d draws) (class, uint16) {
	c := pick(d, plain, plain, mended, mended, mended, ended, ended, silent)
	return c, c.port(d.IntN(portsOfClass))
}

// carry sees one connection through.
func (t *traffic) carry(d draws, name string, o order, pause time.Duration) {
	c, port := place(d)
	if c == mended {
		// Rules may make it slow.
		o.up, o.down = min(o.up, 256<<10), min(o.down, 256<<10)
	}
	o.id = t.ids.Add(1)
	err := t.client.carry(family(d), port, o, pause)
	var octets int64
	if err == nil {
		octets = int64(o.up + o.down)
	}
	t.tally.note(name+", "+c.String(), judge(c, err), octets, err)
}

func (t *traffic) short(d draws, name string) {
	o := order{
		up: pick(d, 0, 1, 50, 500, 3000), down: pick(d, 1, 50, 1500, 20000),
		end: pick(d, clientCloses, clientCloses, serverCloses, serverCloses, clientResets, serverResets, halfCloses, clientAbandons, serverAbandons),
	}
	t.carry(d, name, o, 0)
}

func (t *traffic) bulk(d draws, name string) {
	big := pick(d, 500<<10, 2<<20, 8<<20, 16<<20)
	o := order{end: pick(d, clientCloses, serverCloses, halfCloses, clientAbandons, serverAbandons, serverResets)}
	switch d.IntN(3) {
	case 0:
		o.up, o.down = big, 10
	case 1:
		o.up, o.down = 10, big
	default:
		o.up, o.down = big/2, big/2
	}
	t.carry(d, name, o, 0)
}

func (t *traffic) slowReader(d draws, name string) {
	o := order{up: 10, down: d.from(300<<10, 2<<20), end: pick(d, clientCloses, serverCloses, clientAbandons)}
	pause := d.between(20*time.Millisecond, 100*time.Millisecond)
	if t.plan.short() {
		pause /= 4
	}
	t.carry(d, name, o, pause)
}

// requests asks nginx some times, on connections that the client keeps.
func (t *traffic) requests(d draws, name string) {
	f, port := family(d), pick[uint16](d, webPort, webPort, webMendedPort)
	for range d.from(1, 10) {
		path := pick(d, "/small", "/small", "/page")
		n, err := t.get(fmt.Sprintf("http://%v%s", f.At(port), path), t.webSums[path])
		t.tally.note(name+", "+classOf(port).String(), judge(plain, err), n, err)
		if err != nil || t.quit.Err() != nil {
			return
		}
		time.Sleep(d.between(0, 50*time.Millisecond))
	}
}

func (t *traffic) get(url, sum string) (int64, error) {
	a, err := t.web.Get(url)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxOrder))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", url, err)
	}
	if a.StatusCode != http.StatusOK || sumOf(body) != sum {
		return 0, fmt.Errorf("%s: %w: %s, %d octets", url, errWrong, a.Status, len(body))
	}
	return int64(len(body)), nil
}

// idlers are connections that are there all the time; some of them talk now
// and then. In the end all of them do.
func (t *traffic) idlers(ctx context.Context) {
	d := t.plan.stream("idle")
	const name = "idle"
	var all []patient
	for i := range t.plan.idle() {
		p, err := t.client.dial([]lab.Family{lab.IPv4, lab.IPv6}[i%2], idlePort)
		if err == nil {
			_, err = p.Write((&order{id: t.ids.Add(1), end: echoes}).encode())
		}
		if err != nil {
			t.tally.fail(name, err)
			continue
		}
		all = append(all, p)
	}
	talk := func(i int) bool {
		n := d.from(1, 3000)
		err := exchange(all[i], t.ids.Add(1), n)
		if err != nil {
			err = fmt.Errorf("connection %d of %d, from %v: %w", i, len(all), all[i].LocalAddr(), err)
		}
		t.tally.note(name, judge(plain, err), int64(2*n), err)
		return err == nil
	}
	talkers := max(1, len(all)/10)
	for dead := map[int]bool{}; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-time.After(d.between(0, 2*time.Second)):
			if i := d.IntN(talkers); i < len(all) && !dead[i] {
				dead[i] = !talk(i)
			}
		}
	}
	for i := range all {
		if talk(i) {
			err := finish(all[i], clientCloses)
			t.tally.note(name+", closed", judge(plain, err), 0, err)
		}
		_ = all[i].Close()
	}
}

// operator looks at tcpmitm as somebody would who watches it.
func (t *traffic) operator(d draws, name string) {
	var err error
	switch d.IntN(4) {
	case 0:
		_, err = t.proxy.Command("ss", "--socket", t.proxy.Socket)
	case 1:
		_, err = t.proxy.Command("rule", "list", "--socket", t.proxy.Socket)
	case 2:
		err = t.watch("/v1/events", d.between(time.Second, 3*time.Second))
	default:
		err = t.watch("/v1/capture", d.between(time.Second, 3*time.Second))
	}
	t.tally.note(name, judge(plain, err), 0, err)
}

// watch reads a stream of the control interface for some time.
func (t *traffic) watch(path string, length time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	err := t.proxy.Stream(ctx, path, io.Discard)
	if errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "deadline") {
		return nil
	}
	return err
}
