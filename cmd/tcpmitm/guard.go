package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tcpmitm/config"
	"tcpmitm/endpoint"
	"tcpmitm/nfq"
	"tcpmitm/rules"
	"tcpmitm/splice"
)

const (
	// guardMemory bounds what all shards of a guard buffer, in octets.
	guardMemory = 16 << 20
	// queuePatience is how long the queues of a dead run may still be bound.
	queuePatience = 2 * time.Second
	// adoptAtOnce is how many orphans a shard adopts before it looks at its
	// packets again.
	adoptAtOnce = 256
)

// guardArgs are the arguments with which this program becomes the guard.
var guardArgs = []string{"firewall", "guard"}

// guardOrders are what a run tells its guard at the start: all that the guard
// needs when the run has died, and the configuration may have changed.
type guardOrders struct {
	Run       int // process id
	Intercept nfq.Intercept
	Wait      time.Duration // until the rules are removed
	Forever   bool          // they never are
	Ledger    string
	Loopback  []string // settings of the loopback device to switch off in the end
	Log       config.Log
}

// newFirewallGuard is the process that outlives a killed run; see nfq.Guard.
func newFirewallGuard() *cobra.Command {
	return &cobra.Command{
		Use:    "guard",
		Short:  "Waits for its standard input to end, then stands in for the run that has died",
		Hidden: true,
		Args:   noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Who starts next waits for the name to be free.
			if l, err := hold(namespaceLocks.guard); err == nil {
				defer l.Close()
			}
			run := os.Getppid()
			return nfq.RunGuard(c.InOrStdin(), func(text []byte) error {
				var o guardOrders
				if err := json.Unmarshal(text, &o); err != nil || o.Run == 0 {
					// It died before it could say more than that it lives.
					if !namespaceLocks.vacant(run) {
						return nil
					}
					return nfq.Clean()
				}
				return o.takeOver(namespaceLocks, newLogger(c.ErrOrStderr(), &o.Log))
			})
		},
	}
}

// takeOver stands in for the run that has died, until another one is there or
// the time is over. Whatever goes wrong, the rules are not left to lead packets
// to queues that nobody reads, unless that is what was asked for.
func (o *guardOrders) takeOver(n locks, log *slog.Logger) error {
	if !n.vacant(o.Run) {
		return nil // that one resets the orphans, too
	}
	s, err := o.standIn()
	if err != nil {
		log.Error("tcpmitm has died, and its guard cannot stand in for it", "error", err)
		if o.Forever {
			return err
		}
		return errors.Join(err, nfq.Clean(), o.giveBack())
	}
	defer s.stop()
	orphans := adopt(s.shards, s.firewall.ShardOf, readOrphans(o.Ledger))
	others, leaves := "pass", "in "+o.Wait.String()
	if !o.Intercept.Bypass {
		others = "are refused"
	}
	if o.Forever {
		leaves = "never"
	}
	log.Warn("tcpmitm has died; its guard has reset the peers of the open connections",
		"connections", orphans, "new_connections", others, "removes_rules", leaves)
	if s.wait(n, o) {
		log.Info("another tcpmitm starts: the guard ends")
		return o.giveBack()
	}
	log.Warn("nobody has started tcpmitm again: the guard removes the rules", "after", o.Wait)
	return errors.Join(s.firewall.Remove(), o.giveBack())
}

// giveBack gives the loopback device the settings back that it had before the
// run that has died. The next run must find them so, to know that too.
func (o *guardOrders) giveBack() error {
	nfq.TakeLoopback(o.Ledger)
	return nfq.SwitchOff(o.Loopback)
}

// standIn is what a guard has of a gateway: it splices nothing, lets new
// connections pass or refuses them, and answers orphans.
type standIn struct {
	firewall *nfq.Firewall
	tuns     *nfq.TUNs
	loopback *nfq.Loopback
	ports    []*nfq.Port
	shards   []*splice.Shard
	cancel   context.CancelFunc
	running  sync.WaitGroup
	failed   atomic.Bool // a shard has ended
}

func (o *guardOrders) standIn() (s *standIn, err error) {
	s = &standIn{cancel: func() {}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	in := o.Intercept
	if s.firewall, err = nfq.NewFirewall(in); err != nil {
		return s, err
	}
	if s.tuns, err = nfq.InheritTUNs(in.TUNPrefix, in.Queues); err != nil {
		return s, err
	}
	if in.Loopback {
		if s.loopback, err = nfq.OpenLoopback(in.Queues, in.Mark); err != nil {
			return s, err
		}
	}
	action := rules.Pass
	if !in.Bypass {
		action = rules.Reset
	}
	var set atomic.Pointer[rules.Set]
	set.Store(rules.New([]*rules.Rule{{Name: "guard", Match: rules.Match{Probability: 1}, Action: action}}))
	budget := &splice.Budget{}
	for i := range in.Queues {
		pool := endpoint.NewPool(guardMemory / int64(in.Queues))
		port, err := openPort(nfq.PortConfig{
			Queue: s.firewall.QueueNumber(i), Pool: pool, TUNs: s.tuns, Shard: i, Local: in.Mode == nfq.Local, Loopback: s.loopback,
		})
		if err != nil {
			return s, err
		}
		s.ports = append(s.ports, port)
		own := endpoint.DefaultConfig()
		own.Pool = pool
		s.shards = append(s.shards, splice.NewShard(port, splice.Options{
			Rules: &set, Budget: budget, Endpoint: own, Cookies: splice.CookiesNever, Epoch: nfq.Epoch(),
			Index: i, ShardOf: s.firewall.ShardOf, Local: in.Mode == nfq.Local,
		}))
	}
	splice.Connect(s.shards)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, shard := range s.shards {
		s.running.Go(func() {
			if shard.Run(ctx) != nil {
				s.failed.Store(true)
			}
		})
	}
	return s, nil
}

// openPort opens a port whose queue the kernel may still be taking away from
// the run before.
func openPort(c nfq.PortConfig) (*nfq.Port, error) {
	for end := time.Now().Add(queuePatience); ; time.Sleep(guardLook) {
		port, err := nfq.OpenPort(c)
		if !errors.Is(err, nfq.ErrQueueTaken) || time.Now().After(end) {
			return port, err
		}
	}
}

// wait returns true when another run waits for the guard to end, and false when
// the time is over.
func (s *standIn) wait(n locks, o *guardOrders) bool {
	end := time.Now().Add(o.Wait)
	for o.Forever || time.Now().Before(end) {
		if holder(n.run) != 0 {
			return true
		}
		if s.failed.Load() && !o.Forever {
			return false
		}
		time.Sleep(guardLook)
	}
	return false
}

// stop ends the shards and gives all back.
func (s *standIn) stop() {
	s.cancel()
	s.running.Wait()
	for _, p := range s.ports {
		_ = p.Close()
	}
	if s.tuns != nil {
		_ = s.tuns.Close()
	}
	_ = s.loopback.Close()
}

// readOrphans returns the connections that a dead run has left. A ledger that
// cannot be read is none: their peers find out by themselves.
func readOrphans(path string) (list []splice.Orphan) {
	parts, err := nfq.ReadLedger(path, splice.OrphanLife)
	if err != nil {
		return nil
	}
	for _, part := range parts {
		list = append(list, splice.ReadLedger(part)...)
	}
	return list
}

// adopt gives each orphan to its shard, which resets its peers, and returns how
// many there were.
func adopt(shards []*splice.Shard, shardOf func(clientPort uint16) int, list []splice.Orphan) int {
	of := make([][]splice.Orphan, len(shards))
	for _, o := range list {
		i := shardOf(o.ClientPort())
		of[i] = append(of[i], o)
	}
	for i, list := range of {
		for len(list) > 0 {
			now := list[:min(len(list), adoptAtOnce)]
			err := shards[i].Do(func(s *splice.Shard) { s.Adopt(s.Now(), now) })
			if errors.Is(err, splice.ErrBusy) {
				time.Sleep(time.Millisecond)
				continue
			}
			list = list[len(now):]
		}
	}
	return len(list)
}

// watch starts the guard, before there is anything to guard.
func (g *gateway) watch() error {
	o := guardOrders{Run: os.Getpid(), Intercept: interceptOf(&g.conf.Intercept), Ledger: g.ledgerPath(), Log: g.logged}
	if g.loopback != nil {
		o.Loopback = g.loopback.SwitchedOn
	}
	o.Wait, o.Forever = g.conf.Intercept.GuardWait()
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("writing down what the guard has to know: %w", err)
	}
	guard, err := nfq.StartGuard(text, g.tuns, guardArgs...)
	if err != nil {
		return err
	}
	g.later(func() error {
		if g.rulesLeft {
			// It removes them when we are gone, if it can.
			return nil
		}
		return guard.Done()
	})
	return nil
}

func (g *gateway) ledgerPath() string { return nfq.LedgerOf(g.conf.Control.Socket) }
