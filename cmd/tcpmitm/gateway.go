package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"tcpmitm/config"
	"tcpmitm/control"
	"tcpmitm/doctor"
	"tcpmitm/endpoint"
	"tcpmitm/nfq"
	"tcpmitm/rules"
	"tcpmitm/splice"
	"tcpmitm/trace"
)

// gateway is a running interception. It is built from the inside out, so that
// the firewall leads the first packet to us when everything behind it is
// there, and taken down from the outside in. undo holds, in the order of
// building, what takes each part down.
type gateway struct {
	conf *config.Config
	log  *slog.Logger

	lock     net.Listener
	squatter bool
	firewall *nfq.Firewall
	tuns     *nfq.TUNs
	loopback *nfq.Loopback // nil where the host's connections with itself are left alone
	ports    []*nfq.Port
	pools    []*endpoint.Pool
	shards   []*splice.Shard
	rules    atomic.Pointer[rules.Set]
	rulebook *control.Rulebook
	reload   func() (*config.Config, error) // nil: there is no file

	control *control.Socket
	metrics net.Listener

	running sync.WaitGroup
	failed  chan error // of shards
	undo    []func() error

	logged  config.Log      // how we log, for the guard
	orphans []splice.Orphan // connections of a run that has died
	ledger  *nfq.LedgerFile // nil: there is none

	rulesLeft bool // the firewall's rules could not be removed
}

// start builds a gateway. On an error nothing of it is left. reload reads the
// configuration again; nil means that it has no file.
func start(conf *config.Config, logged config.Log, reload func() (*config.Config, error), log *slog.Logger, tracer *trace.Tracer) (*gateway, error) {
	g := &gateway{conf: conf, logged: logged, reload: reload, log: log}
	warnings, err := g.build(tracer)
	if err != nil {
		return nil, errors.Join(err, g.down())
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	g.announce()
	g.warnOfNeighbours(doctor.ThisHost())
	g.guardLife()
	manager{log}.ready(g.connections())
	return g, nil
}

// later notes how to take down what has just been built.
func (g *gateway) later(undo func() error) { g.undo = append(g.undo, undo) }

// down takes everything down that was built, the last first.
func (g *gateway) down() error {
	var errs []error
	for i := len(g.undo) - 1; i >= 0; i-- {
		errs = append(errs, g.undo[i]())
	}
	g.undo = nil
	return errors.Join(errs...)
}

func (g *gateway) build(tracer *trace.Tracer) (warnings []string, err error) {
	if err := nfq.CheckPrivilege(); err != nil {
		return nil, err
	}
	if g.firewall, err = nfq.NewFirewall(interceptOf(&g.conf.Intercept)); err != nil {
		return nil, err
	}
	if err := g.claim(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && g.conf.Intercept.WhenDown == config.Block && nfq.Installed() {
			err = fmt.Errorf("%w; %w", err, errStillShut)
		}
	}()
	if g.conf.Intercept.WhenDown == config.Bypass {
		// What a killed run left would lead packets to queues before anybody
		// reads them. With "block" that is what is asked for: it stays until
		// our own rules are there in its place.
		if err := nfq.Clean(); err != nil {
			return nil, err
		}
	}
	if err := g.open(); err != nil {
		return nil, err
	}
	warnings = append(append(warnings, g.tuns.Warnings...), g.keepLedger()...)
	source, err := g.launch(tracer)
	if err != nil {
		return nil, err
	}
	if err := g.watch(); err != nil {
		return nil, err
	}
	more, err := g.install()
	if err != nil {
		return nil, err
	}
	if n := adopt(g.shards, g.firewall.ShardOf, g.orphans); n > 0 {
		g.log.Info("reset the peers of connections that a killed tcpmitm has left", "connections", n)
	}
	g.orphans = nil
	g.keepWatch()
	// Last, because who waits for us to be ready waits for an answer.
	return append(warnings, more...), g.serve(source)
}

// errStillShut is added to why a start has failed.
var errStillShut = errors.New(`the firewall's rules of an earlier run, or of "firewall apply", are still there and hold connections back, ` +
	`as when_down = "block" says: mend what is wrong and start again, or let everything pass with tcpmitm firewall remove`)

// claim makes sure that we are alone, and opens the sockets, which another
// run would hold.
func (g *gateway) claim() (err error) {
	if g.lock, g.squatter, err = namespaceLocks.claim(); err != nil {
		return err
	}
	if g.lock != nil {
		g.later(g.lock.Close)
	}
	if g.control, err = control.Bind(g.conf.Control.Socket); err != nil {
		return err
	}
	g.later(g.control.Close)
	if g.conf.Control.Metrics == "" {
		return nil
	}
	if g.metrics, err = control.ListenMetrics(g.conf.Control.Metrics); err != nil {
		return err
	}
	g.later(func() error { return closeListener(g.metrics) })
	return nil
}

// closeListener closes a listener that its server may have closed already.
func closeListener(l net.Listener) error {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// open makes the devices and binds the queues.
func (g *gateway) open() (err error) {
	in := &g.conf.Intercept
	local := in.Mode == config.Local
	n := shardsOf(in)
	// The heap grows into memory that nobody has collected yet; from here on
	// the collector works harder instead.
	debug.SetMemoryLimit(g.conf.Limits.Memory - imageOctets)
	g.tuns, err = nfq.OpenTUNs(nfq.TUNConfig{Prefix: in.TUNPrefix, Shards: n, Local: local})
	if err != nil {
		return err
	}
	g.later(g.tuns.Close)
	// What a killed run has switched on is not the host's own choice.
	if err := nfq.SwitchOff(nfq.TakeLoopback(g.ledgerPath())); err != nil {
		return err
	}
	if in.TakesLoopback() {
		if g.loopback, err = nfq.OpenLoopback(n, in.Mark); err != nil {
			return err
		}
		g.later(g.loopback.Close)
	}
	for i := range n {
		pool := endpoint.NewPool(heldOctets(&g.conf.Limits) / int64(n))
		port, err := nfq.OpenPort(nfq.PortConfig{
			Queue: g.firewall.QueueNumber(i), Pool: pool, TUNs: g.tuns, Shard: i, Local: local, Loopback: g.loopback,
			Carry: !local, // there the packet may be a socket's of this host
		})
		if err != nil {
			return err
		}
		g.later(port.Close)
		g.ports, g.pools = append(g.ports, port), append(g.pools, pool)
	}
	return nil
}

// maxRecorded bounds the connections of one shard that are written down.
const maxRecorded = 1 << 20

// keepLedger reads what a killed run has left in its ledger, and begins one of
// our own. Without one all is well until we are killed.
func (g *gateway) keepLedger() (warnings []string) {
	path := g.ledgerPath()
	g.orphans = readOrphans(path)
	const chunk = splice.LedgerChunk * splice.LedgerLine
	chunks := (min(g.conf.Limits.Connections, maxRecorded) + splice.LedgerChunk - 1) / splice.LedgerChunk
	l, err := nfq.CreateLedger(path, len(g.ports), chunks*chunk, chunk)
	if err != nil {
		return []string{fmt.Sprintf("after a crash nobody could reset the peers of open connections: %v", err)}
	}
	g.ledger = l
	if g.loopback != nil {
		l.NoteLoopback(g.loopback.SwitchedOn)
	}
	g.later(l.Remove)
	return nil
}

// launch makes a shard for each port and starts its goroutine.
func (g *gateway) launch(tracer *trace.Tracer) (*control.Source, error) {
	opt := splice.Options{
		Rules:     &g.rules,
		Order:     g.conf.Handshake.Order,
		Cookies:   cookiesOf(g.conf.Handshake.SYNCookies),
		Budget:    budgetOf(&g.conf.Limits),
		OverLimit: g.conf.Limits.OverLimit,
		Endpoint:  endpointConfig(&g.conf.Handshake, &g.conf.Timeouts),
		Patience:  patienceOf(&g.conf.Timeouts),
		Epoch:     nfq.Epoch(),
		Observer:  tracer,
		EndsOnly:  !tracer.Draws(),
		Local:     g.conf.Intercept.Mode == config.Local,
		MaxPacket: nfq.SegmentPacket,
		ShardOf:   g.firewall.ShardOf,
	}
	if _, err := rand.Read(opt.Secret[:]); err != nil {
		return nil, fmt.Errorf("reading random numbers for initial sequence numbers: %w", err)
	}
	started := time.Now()
	g.rulebook = control.NewRulebook(g.conf, &g.rules, started, g.reload, g.log)
	g.rulebook.OnStop(func() { g.each(func(s *splice.Shard) { s.Reconsider() }) })
	for i, port := range g.ports {
		own := opt
		own.Index, own.Endpoint.Pool = i, g.pools[i]
		if g.ledger != nil {
			own.Ledger = splice.NewLedger(g.ledger.Part(i))
		}
		g.shards = append(g.shards, splice.NewShard(port, own))
	}
	splice.Connect(g.shards)
	ctx, cancel := context.WithCancel(context.Background())
	g.failed = make(chan error, len(g.shards))
	for _, s := range g.shards {
		g.running.Go(func() {
			if err := s.Run(ctx); err != nil {
				g.failed <- err
			}
		})
	}
	g.later(func() error {
		cancel()
		g.running.Wait()
		return nil
	})
	source := &control.Source{
		Shards: g.shards, Version: version, Started: started, Rules: g.rules.Load, Rulebook: g.rulebook, Lost: tracer.Lost, Tracer: tracer,
		Queues: func() []control.Queue { return queuesOf(g.firewall) },
		Mode:   modeName(g.conf.Intercept.Mode), Limits: limitsOf(g.conf), Log: g.log,
		Edge: func(shard int) control.Edge { return edgeOf(g.ports[shard]) },
	}
	g.later(control.WatchFloods(source, opt.Budget, g.log).Close)
	return source, nil
}

// serve answers questions from here on.
func (g *gateway) serve(source *control.Source) error {
	l, err := g.control.Listen()
	if err != nil {
		return err
	}
	g.later(control.Serve(l, source).Close)
	if g.metrics != nil {
		g.later(control.ServeMetrics(g.metrics, source).Close)
	}
	return nil
}

// install leads packets to us.
func (g *gateway) install() (warnings []string, err error) {
	if warnings, err = g.firewall.Install(); err != nil {
		return nil, err
	}
	g.later(func() error {
		err := g.firewall.Remove()
		g.rulesLeft = err != nil
		return err
	})
	return warnings, nil
}

// announce says once what is intercepted.
func (g *gateway) announce() {
	in := &g.conf.Intercept
	if g.squatter {
		g.log.Warn("somebody else holds the name by which tcpmitm finds another one running; do not start a second one", "name", namespaceLocks.run)
	}
	g.log.Info("intercepting",
		"mode", modeName(in.Mode), "ports", listed(in.Ports, "all"), "servers", listed(in.Servers, "any"),
		"clients", listed(in.Clients, "any"), "client_side", listed(in.ClientSide, "told by ports and networks"),
		"loopback", g.loopback != nil, "queues", len(g.ports), "first_queue", in.QueueBase, "devices", g.tuns.Names[0]+","+g.tuns.Names[1],
		"rules", g.conf.Rules.Len(), "control", g.conf.Control.Socket)
	if !g.firewall.Hinted() {
		g.log.Info("nothing in [intercept] says which side the servers are on, so what they send is queued twice; ports, servers, clients or client_side would spare that")
	}
}
