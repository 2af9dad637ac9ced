# tcpmitm: build, show, test. `make` alone lists what there is.

SHELL       := /bin/bash
.SHELLFLAGS := -o pipefail -c
GO          ?= go
PREFIX      ?= /usr/local
DESTDIR     ?=
LDFLAGS     ?=
UNITDIR     ?= /etc/systemd/system
# Where the simulator is built for a long run.
SIM         := $(CURDIR)/bin/sim.test
# The race detector needs a C compiler, and not every machine has one.
RACE        := $(shell command -v "$$($(GO) env CC 2>/dev/null || echo gcc)" >/dev/null 2>&1 && echo -race)
# What has no goroutine: the race detector would find nothing in it, slowly.
ALONE       := ./endpoint ./stream ./faults
# What of the lab makes goroutines meet most.
RACY        := TestTrace$$|TraceEnds|TraceOfALoss|Parallel|KeepAlive|Reset|TestStop|Visible|Unreach|ClientFirst
# The benchmark, which builds the others itself. BENCH_FLAGS: see bin/bench/bench -help.
BENCH       = mkdir -p bin/bench && $(GO) build -trimpath -buildvcs=false -o bin/bench/bench ./test/bench && bin/bench/bench $(BENCH_FLAGS)
# All but nfq's BenchmarkPath, which wants root and a lab.
MICRO       := ^Benchmark([^P]|P[^a]|Pa[^t])
# Progress: each test as it begins and ends, and all that a failure says.
QUIET       := grep -Ev --line-buffered '^=== (PAUSE|CONT|NAME)|^=== RUN .*/|^\s+--- PASS'

.DEFAULT_GOAL := help
.PHONY: help build demo test together unit sim fuzz interop lab lab-plain lab-race soak soak-short flood bench bench-quick bench-micro lint fmt deps-demo deps-test deps-bench root clean install uninstall man deb package-test

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/tcpmitm
	@command -v $(GO) >/dev/null || { echo "Go is missing from PATH: https://go.dev/dl/ (with sudo: sudo env PATH=\$$PATH make ...)" >&2; exit 1; }
	@echo "== building bin/tcpmitm"
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o bin/tcpmitm ./cmd/tcpmitm

demo: root deps-demo build ## three network namespaces, real traffic, one ladder (root, under a minute)
	@test/demo/demo.sh bin/tcpmitm

test: root deps-test build ## all tests: unit, simulator, interop, package, namespace lab (root, under 15 minutes)
	@$(MAKE) --no-print-directory -k unit sim together lab $(if $(RACE),lab-race)
	@echo "== all tests passed"

# What waits more than it works. Each says what it has to say when it is over.
together:
	@$(MAKE) --no-print-directory -k -j2 -Otarget interop package-test soak-short

unit: ## unit tests, with the race detector where there is a C compiler
	@echo "== unit tests $(if $(RACE),with the race detector,without the race detector: no C compiler)"
	@$(GO) test -count=1 -timeout 8m $(ALONE)
	@$(GO) test $(RACE) -count=1 -timeout 8m $$($(GO) list ./... | grep -v '/test/' | grep -vxF "$$($(GO) list $(ALONE))") ./test/arch ./test/bench

sim: ## the deterministic simulator: SEEDS=n runs that many from SEED on, with progress
ifdef SEEDS
	@mkdir -p bin; $(GO) test -c -o $(SIM) ./test/sim
	@cd test/sim && nice -n 19 $(SIM) -test.run TestSimulator -test.timeout 0 -seeds $(SEEDS) -seed $(or $(SEED),1) -progress 10s
else
	@echo "== simulator"; $(GO) test $(RACE) -count=1 -timeout 8m ./test/sim/...
endif

fuzz: ## every fuzz target for FUZZTIME (1m), one after the other; FUZZ="Target ..." only some
	@GO="$(GO)" scripts/fuzz $(or $(FUZZTIME),1m) $(FUZZ)

interop: ## our endpoint with gVisor's, in virtual time (a module of its own; fetches gVisor once)
	@echo "== interop with gVisor netstack, about half a minute"
	@cd test/netstack && $(GO) test -count=1 -timeout 5m ./...

lab: root deps-test ## real programs in network namespaces (root)
	@echo "== namespace lab: nginx, curl, iperf3, nc and tshark around tcpmitm, about 10 minutes"
	@$(GO) test -v -count=1 -timeout 25m -parallel 6 ./test/lab 2>&1 | $(QUIET)

lab-race: root deps-test ## a part of the lab, against a tcpmitm that has the race detector (root)
	@echo "== namespace lab, tcpmitm with the race detector, about a minute"
	@$(GO) test -v -count=1 -timeout 15m -parallel 4 ./test/lab -short -proxy-race -run '$(RACY)' 2>&1 | $(QUIET)

lab-plain: root deps-test ## the lab's own mechanics, without tcpmitm (root)
	@$(GO) test -v -count=1 -timeout 12m -parallel 6 ./test/lab -plain 2>&1 | $(QUIET)

# A run has limits of its own.
soak: root deps-test ## mixed traffic under changing rules for DURATION (10m), SEED=1 LOAD=1; what grows fails (root)
	@mkdir -p bin && $(GO) test -c -o bin/soak.test ./test/soak
	@cd test/soak && $(CURDIR)/bin/soak.test -test.run '^TestSoak$$' -test.timeout 0 -duration $(or $(DURATION),10m) -seed $(or $(SEED),1) -load $(or $(LOAD),1) -out $(CURDIR)/bin/soak $(SOAK_FLAGS)

soak-short: root deps-test
	@echo "== soak, the short form, about a minute"
	@$(GO) test -count=1 -timeout 6m ./test/soak

flood: root deps-test ## a minute of SYN flood, and two million forged packets into open connections (root, about two minutes)
	@$(GO) test -v -count=1 -timeout 10m ./test/lab -run '^(TestSYNFlood|TestBlindAttack)$$' -flood $(or $(FLOOD),1m) -blind $(or $(BLIND),2000000) 2>&1 | $(QUIET)

bench: root deps-bench ## tcpmitm, HAProxy, Toxiproxy, gVisor and others side by side (root, about a quarter of an hour)
	@$(BENCH)

bench-quick: root deps-bench ## the same with fewer rounds (root, under three minutes once all is built)
	@$(BENCH) -quick

bench-micro: ## micro-benchmarks: decode, flow lookup, segments, timers, rules, by number of flows
	@$(GO) test -run '^$$' -bench '$(MICRO)' -benchmem -benchtime $(or $(BENCHTIME),500ms) ./nfq ./endpoint ./splice ./rules ./stream ./faults ./trace

lint: ## gofmt and go vet
	@out=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  if [ -n "$$out" ]; then echo "not formatted, run make fmt:"; echo "$$out"; exit 1; fi
	@$(GO) vet ./...

fmt: ## gofmt -w
	@gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

man: ## the manual pages, in bin/man
	@rm -rf bin/man
	@$(GO) run -tags manpages ./cmd/tcpmitm man bin/man config.toml

install: build man ## the program, its manual, its configuration if there is none yet, and a systemd unit (DESTDIR=, PREFIX=/usr/local)
	install -D -m 755 bin/tcpmitm $(DESTDIR)$(PREFIX)/sbin/tcpmitm
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/tcpmitm/README.md
	install -D -m 644 config.toml $(DESTDIR)$(PREFIX)/share/doc/tcpmitm/examples/config.toml
	install -D -m 644 packaging/grafana.json $(DESTDIR)$(PREFIX)/share/doc/tcpmitm/examples/grafana.json
	install -d $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 bin/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 bin/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/tcpmitm completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tcpmitm
	bin/tcpmitm completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_tcpmitm
	bin/tcpmitm completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tcpmitm.fish
	test -e $(DESTDIR)/etc/tcpmitm/config.toml || install -D -m 644 config.toml $(DESTDIR)/etc/tcpmitm/config.toml
	@mkdir -p $(DESTDIR)$(UNITDIR)
	sed 's,/usr/local,$(PREFIX),g' packaging/tcpmitm.service >$(DESTDIR)$(UNITDIR)/tcpmitm.service
	@echo "== installed; next: edit /etc/tcpmitm/config.toml, then systemctl daemon-reload && systemctl enable --now tcpmitm"

uninstall: ## what install has put there, but for the configuration
	rm -f $(DESTDIR)$(PREFIX)/sbin/tcpmitm $(DESTDIR)$(UNITDIR)/tcpmitm.service
	rm -f $(DESTDIR)$(PREFIX)/share/man/man5/tcpmitm.toml.5 $(DESTDIR)$(PREFIX)/share/man/man8/tcpmitm.8 $(DESTDIR)$(PREFIX)/share/man/man8/tcpmitm-*.8
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tcpmitm $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_tcpmitm $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tcpmitm.fish
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/tcpmitm

deb: ## a Debian package, in bin/ (OUT=)
	@MAKE="$(MAKE)" GO="$(GO)" packaging/build-deb $(or $(OUT),bin)

package-test: root ## the Debian package: built, looked into, installed in a root of its own (root)
	@echo "== Debian package"
	@$(GO) test -count=1 -timeout 5m ./test/deb

clean: ## remove what was built
	@rm -rf bin

root:
	@[ "$$(id -u)" -eq 0 ] || { echo "network namespaces need root: sudo env PATH=\$$PATH make $(firstword $(MAKECMDGOALS))" >&2; exit 1; }

deps-demo:
	@scripts/install-deps demo

deps-test:
	@scripts/install-deps test

deps-bench:
	@scripts/install-deps bench
