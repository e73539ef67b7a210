# Bulkhead. `make help` lists the targets.
#
# Only `make dist` sets a version; every other build is "devel", so that a test
# and the binaries it starts always agree.
VERSION ?= devel
GO      ?= go
BIN     := $(CURDIR)/bin
# Static, and the same bytes wherever it is built. The sentry of gVisor does not
# boot in a build with cgo.
LDFLAGS := -s -w -X github.com/bulkhead-dev/bulkhead/internal/version.linked=$(VERSION)
STATIC  := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
FUZZTIME ?= 30s
# The version is linked in; what Git says of the folder has no part in the bytes.
export GOFLAGS := -buildvcs=false

.DEFAULT_GOAL := build
.PHONY: help build deps test race lint fmt generate check demo bench bench-idle bench-output bench-scan bench-admission post-render cluster-api-up cluster-api-down fuzz dist dist-verify clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build every binary into bin/
	$(STATIC) -o $(BIN)/ ./cmd/...
	$(STATIC) -o $(BIN)/bulkhead-hostile ./examples/hostile
	cd gvisor && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) -E bulkhead_entry' -o $(BIN)/ ./cmd/... # gvisor/entry

deps: ## install what the tests use (Debian packages, as root), or say what is missing
	@tools/deps.sh

# The tests of test/cluster build an API server where there is none: minutes. They
# read pages and policies of another module, which Go's test cache does not notice.
test: deps build ## run every test of every module
	BULKHEAD_BIN=$(BIN) $(GO) test -timeout 30m ./...
	cd gvisor && BULKHEAD_BIN=$(BIN) $(GO) test -timeout 30m ./...
	cd test/cluster && $(GO) test -count=1 -timeout 45m ./...

race: build ## run the tests under the race detector
	BULKHEAD_BIN=$(BIN) $(GO) test -race ./...

fmt: ## format every Go file
	gofmt -w $$(git ls-files '*.go')

lint: ## format, vet and lint, without changing anything
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted (run: make fmt):'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./... && cd gvisor && $(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...
	cd gvisor && $(GO) tool -modfile=../tools/go.mod golangci-lint run --config ../.golangci.yml ./...
	cd test/cluster && $(GO) tool -modfile=../../tools/go.mod golangci-lint run --config ../../.golangci.yml ./...
	cd test/alerts && $(GO) tool -modfile=../../tools/go.mod golangci-lint run --config ../../.golangci.yml ./...

generate: ## write every generated file anew
	$(GO) generate ./...

check: lint generate ## lint, tests, and generated files and go.mod clean: what a change has to pass
	for module in . gvisor tools test/cluster test/agentsandbox test/alerts test/scan; do (cd $$module && $(GO) mod tidy) || exit 1; done
	git diff --exit-code -- docs/rules.md risk/rules/catalogue.go manifest/builtin_kinds.go api deploy '*go.mod' '*go.sum'
	$(MAKE) test race

demo: build ## check, explain, refuse, run behind gVisor, compare with runc, bombs behind limits; writes bulkhead-report.html
	$(BIN)/bulkhead demo
	tools/demo-bombs.sh $(BIN)/bulkhead

bench: deps build ## time to first byte, interleaved, as ratios to runc
	BULKHEAD_BIN=$(BIN) $(GO) test -run '^$$' -bench TimeToFirstByte -benchtime=30x ./internal/bench

bench-idle: deps build ## memory of idle sandboxes
	BULKHEAD_BIN=$(BIN) $(GO) test -run '^$$' -bench IdleMemory -benchtime=1x ./internal/bench

bench-output: build ## host memory over 10 GiB of a guest's output
	BULKHEAD_OUTPUT_MIB=10240 BULKHEAD_BIN=$(BIN) $(GO) test -run OutputMemory -count=1 -v -timeout 60m ./internal/bench

bench-scan: build ## scan rate, memory and start-up of `check`, interleaved with kube-score
	cd test/scan && $(GO) build -trimpath -o $(BIN)/ github.com/zegl/kube-score/cmd/kube-score
	KUBE_SCORE=$(BIN)/kube-score BULKHEAD_BIN=$(BIN) $(GO) test -run '^$$' -bench Scan -benchtime=5x ./internal/bench

post-render: build ## give what harden writes for a chart to real Helm 3 and 4, which are built once: many minutes
	test/helm/post-render.sh

bench-admission: ## what policies add to the creation of a pod, interleaved with webhooks that do nothing
	cd test/cluster && $(GO) run ./cmd/bench-admission

cluster-api-up: ## start a real API server (built once, some minutes); the last line is for `eval`
	@cd test/cluster && $(GO) run ./cmd/cluster-api up

cluster-api-down: ## end it
	@cd test/cluster && $(GO) run ./cmd/cluster-api down

fuzz: ## run each fuzz target for FUZZTIME
	tools/fuzz.sh $(FUZZTIME)

dist: ## archives, checksums and SBOMs of a release into dist/
	tools/dist.sh dist

dist-verify: ## build the release twice, in two folders, and compare the bytes
	tools/dist.sh --verify

clean: ## remove what was built
	rm -rf bin dist bulkhead-report.html
