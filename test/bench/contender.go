package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Ports of the server.
const (
	streamPort = 5201
	echoPort   = 5207
	idlePort   = 5300 // the first of idlePorts
	idlePorts  = 4
	webPort    = 8000 // the first; each round has its own, so that none meets another's TIME-WAIT
	haproxyAt  = 5000 // on the gateway
)

// maxRounds bounds the web server's ports.
const maxRounds = 50

// neverThere is what the rule that touches every octet looks for.
const neverThere = "these octets never occur in what is sent"

// contender is one way through a gateway.
type contender struct {
	key, name string
	// addressed is set if clients have to know the gateway: they connect to
	// it instead of to the server.
	addressed bool
	// sockets is set if each connection takes two descriptors of the process.
	sockets bool
	// asked is set if it takes part only when -only names it.
	asked bool
	start func(*site) (*process, error) // nil: nothing has to run
	stop  func(*site)                   // after the process has ended; may be nil
}

// site is where a contender runs.
type site struct {
	*contender
	lab     *lab
	gateway *namespace
	index   int
	tools   *tools
	rounds  int
	running *process
}

// The contenders, in the order of the tables.
var contenders = []*contender{
	{key: "plain", name: "plain forwarding"},
	{key: "null", name: "null datapath", start: startNull},
	{key: "tcpmitm", name: "tcpmitm", start: startTCPMITM},
	{key: "touch", name: "tcpmitm, every octet searched", start: startTouching},
	{key: "other", name: "tcpmitm, another build", start: startOther, asked: true},
	{key: "haproxy", name: "HAProxy, TPROXY and splice", sockets: true, start: startHAProxy, stop: stopHAProxy},
	{key: "toxiproxy", name: "Toxiproxy", addressed: true, sockets: true, start: startToxiproxy},
	{key: "netstack", name: "gVisor netstack proxy", start: startNetstack, stop: stopNetstack},
}

// target is where clients connect to.
func (s *site) target() string {
	if s.addressed {
		return s.gatewayAddress()
	}
	return serverAddress
}

func (s *site) gatewayAddress() string { return fmt.Sprintf("10.72.%d.1", s.index+1) }

// pid is 0 for a contender without a process.
func (s *site) pid() int {
	if s.running == nil {
		return 0
	}
	return s.running.pid()
}

// up leads the traffic here and starts the contender; it is ready when a
// connection through it has carried an octet.
func (s *site) up() error {
	if err := s.lab.lead(s.index); err != nil {
		return err
	}
	if s.start != nil {
		var err error
		if s.running, err = s.start(s); err != nil {
			return err
		}
	}
	var last error
	for deadline := time.Now().Add(readyLimit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = s.probe(); last == nil {
			return nil
		}
	}
	if s.running != nil {
		return fmt.Errorf("no connection through %s: %w\n%s", s.name, last, s.running.output())
	}
	return fmt.Errorf("no connection through %s: %w", s.name, last)
}

func (s *site) probe() error {
	p, err := openRaw(s.lab.client, "", s.target(), echoPort)
	if err != nil {
		return err
	}
	defer p.close()
	return p.exchange(make([]byte, 1))
}

func (s *site) down() {
	s.running.stop()
	if s.contender.stop != nil {
		s.contender.stop(s)
	}
	s.running = nil
}

// file writes a file of the contender's and returns its path.
func (s *site) file(name, text string) (string, error) {
	path := filepath.Join(s.lab.folder, s.key+"-"+name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

func startNull(s *site) (*process, error) {
	p, err := s.lab.start(s.gateway, s.tools.null, "lan0")
	if err != nil {
		return nil, err
	}
	return p, p.until("ready", func() bool { return strings.Contains(p.output(), "ready") })
}

const plainConfig = `
[control]
socket = %q
[intercept]
client_side = ["lan0"]
[limits]
connections = 250000
[log]
level = "warn"
`

const touchingRule = `
[[rule]]
name = "touch"
stream = [
  { to = "server", do = "replace", find = %[1]q, with = "" },
  { to = "client", do = "replace", find = %[1]q, with = "" },
]
`

func startTCPMITM(s *site) (*process, error) { return s.startProxy(s.tools.tcpmitm, "") }

func startTouching(s *site) (*process, error) {
	return s.startProxy(s.tools.tcpmitm, fmt.Sprintf(touchingRule, neverThere))
}

// otherVariable names another build of tcpmitm, so that a change is compared
// with what was before it in one run.
const otherVariable = "TCPMITM_OTHER"

func startOther(s *site) (*process, error) {
	path := os.Getenv(otherVariable)
	if path == "" {
		return nil, fmt.Errorf("%s must name the program that is to be compared", otherVariable)
	}
	return s.startProxy(path, "")
}

func (s *site) startProxy(program, rules string) (*process, error) {
	socket := filepath.Join(s.lab.folder, s.key+".sock")
	config, err := s.file("config.toml", fmt.Sprintf(plainConfig, socket)+rules)
	if err != nil {
		return nil, err
	}
	p, err := s.lab.start(s.gateway, program, "run", "--config", config)
	if err != nil {
		return nil, err
	}
	return p, p.until("ready", func() bool { return s.gateway.run(program, "ss", "--socket", socket) == nil })
}

const haproxyConfig = `
global
  nbthread 2
  maxconn %d
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  option splice-auto
frontend f
  bind 0.0.0.0:5000 transparent
  default_backend b
backend b
  option transparent
  source 0.0.0.0 usesrc clientip
`

func startHAProxy(s *site) (*process, error) {
	config, err := s.file("haproxy.cfg", fmt.Sprintf(haproxyConfig, maxSocketed()+spareFiles/5))
	if err != nil {
		return nil, err
	}
	p, err := s.lab.start(s.gateway, "haproxy", "-db", "-f", config)
	if err != nil {
		return nil, err
	}
	if err := p.until("listening", func() bool { return listens(p.pid(), haproxyAt) }); err != nil {
		return p, err
	}
	return p, errors.Join(
		s.gateway.run("ip", "rule", "add", "fwmark", "1", "lookup", "100"),
		s.gateway.run("ip", "route", "replace", "local", "0.0.0.0/0", "dev", "lo", "table", "100"),
		s.gateway.run("iptables", "-t", "mangle", "-A", "PREROUTING", "-p", "tcp", "-m", "socket", "--transparent", "-j", "MARK", "--set-mark", "1"),
		s.gateway.run("iptables", "-t", "mangle", "-A", "PREROUTING", "-i", "lan0", "-p", "tcp", "-m", "mark", "!", "--mark", "1",
			"-j", "TPROXY", "--on-port", fmt.Sprint(haproxyAt), "--tproxy-mark", "1"),
	)
}

func stopHAProxy(s *site) {
	_ = s.gateway.run("iptables", "-t", "mangle", "-F", "PREROUTING")
	_ = s.gateway.run("ip", "rule", "del", "fwmark", "1")
	_ = s.gateway.run("ip", "route", "flush", "table", "100")
}

// listens tells whether a socket listens on a port where a process runs. It
// does not try: HAProxy would try to reach where the attempt was going to,
// which is itself.
func listens(pid, port int) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	return err == nil && listed(string(table), port)
}

// listed looks for a port in state LISTEN in the kernel's table of sockets.
func listed(table string, port int) bool {
	local := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) > 3 && strings.HasSuffix(fields[1], local) && fields[3] == "0A" {
			return true
		}
	}
	return false
}

func startToxiproxy(s *site) (*process, error) {
	type proxy struct {
		Name     string `json:"name"`
		Listen   string `json:"listen"`
		Upstream string `json:"upstream"`
		Enabled  bool   `json:"enabled"`
	}
	var list []proxy
	add := func(port int) {
		list = append(list, proxy{fmt.Sprint(port), fmt.Sprintf("%s:%d", s.gatewayAddress(), port), fmt.Sprintf("%s:%d", serverAddress, port), true})
	}
	add(streamPort)
	add(echoPort)
	for i := range idlePorts {
		add(idlePort + i)
	}
	for i := range s.rounds {
		add(webPort + i)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	config, err := s.file("toxiproxy.json", string(text))
	if err != nil {
		return nil, err
	}
	// A log line a connection would be measured too.
	return s.lab.start(s.gateway, "env", "LOG_LEVEL=error", s.tools.toxiproxy, "-config", config)
}

const netstackDevice = "net0"

func startNetstack(s *site) (*process, error) {
	p, err := s.lab.start(s.gateway, s.tools.netstack, netstackDevice)
	if err != nil {
		return nil, err
	}
	up := func() bool { return s.gateway.run("ip", "link", "set", netstackDevice, "up") == nil }
	if err := p.until("its device is there", up); err != nil {
		return p, err
	}
	return p, errors.Join(
		s.gateway.run("ip", "route", "replace", "default", "dev", netstackDevice, "table", "100"),
		s.gateway.run("ip", "rule", "add", "iif", "lan0", "lookup", "100"),
		s.gateway.run("ip", "rule", "add", "iif", "wan0", "lookup", "100"),
	)
}

func stopNetstack(s *site) {
	_ = s.gateway.run("ip", "rule", "del", "iif", "lan0")
	_ = s.gateway.run("ip", "rule", "del", "iif", "wan0")
}
