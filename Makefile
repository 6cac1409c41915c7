# license-agent: `make` prints what can be made.
SHELL        := /bin/bash
.SHELLFLAGS  := -euo pipefail -c
.DEFAULT_GOAL := help

export GOTOOLCHAIN := local
# One way to compile, the one that is shipped, for programs, tests and tools: each
# other would compile all that we stand on once more.
export GOFLAGS     := -mod=readonly -trimpath
export CGO_ENABLED := 0
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -buildid= -X main.version=$(VERSION)
BUILD     := go build -buildvcs=false -ldflags "$(LDFLAGS)"
# Pinned, run from the module proxy: nothing to install, go.mod stays free of them.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := go run mvdan.cc/gofumpt@v0.12.0
TIERDIR   := $(CURDIR)/.cache
# The race detector checks each use of unsafe, of which SQLite, translated from C, is
# made: nearly half of the merchant's time. A program with it otherwise sleeps a second
# before it ends, and tests start hundreds.
RACE      := -race -gcflags=modernc.org/...=-d=checkptr=0
export GORACE := atexit_sleep_ms=20
# Which commit a result in docs/promises.md was reached on.
export PROMISES_COMMIT ?= $(shell git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)

.PHONY: help
help: ## print this list
	@awk 'BEGIN{FS=":.*## "} /^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build both programs into bin/
	@mkdir -p bin
	$(BUILD) -o bin/license-agent ./agent/cmd/license-agent
	$(BUILD) -o bin/license-merchant ./activation/cmd/license-merchant

.PHONY: demo
demo: build ## the main job, end to end, without network or root
	@mkdir -p bin && $(BUILD) -o bin/example ./agent/client/example
	@agent/client/example/demo.sh bin

.PHONY: tools
tools: ## install what the tests need (Debian as root) or say what is missing
	@.ci/tools

.PHONY: test
test: tools ## every test, with the race detector (≤ 10 minutes; some need root)
	@mkdir -p $(TIERDIR) && rm -f $(TIERDIR)/promises.test
	@# One package more than processors: a quarter of the time tests wait for disks and processes.
	@# The first mostly waits, for minutes: begun late it was alone at the end.
	@# It needs cgo: unset, which leaves it off for other systems.
	env -u CGO_ENABLED PROMISES_OUT=$(TIERDIR)/promises.test go test $(RACE) -count=1 -p $$(($$(nproc) + 1)) -timeout 9m ./installer/bundle ./...

.PHONY: prove
prove: tools ## the promises at their full numbers that fit in an hour
	@mkdir -p $(TIERDIR) && rm -f $(TIERDIR)/promises.prove
	PROVE=1 PROMISES_OUT=$(TIERDIR)/promises.prove go test -count=1 -p 1 -timeout 2h ./platform/... ./store/... ./activation/... ./agent/... ./fingerprint/... ./installer/...

.PHONY: soak
soak: tools build ## months of running at once and what else takes hours (FUZZTIME=270m for 10^8 runs per fuzz target: 3 to 4.5 hours each on 2 cores, days for all 20)
	@mkdir -p $(TIERDIR) && rm -f $(TIERDIR)/promises.soak
	SOAK=1 PROMISES_OUT=$(TIERDIR)/promises.soak go test -count=1 -timeout 12h -v -run '^TestReal$$/^(Kill|Soak|Lossy)$$' ./agent/cmd/license-agent
	SOAK=1 PROMISES_OUT=$(TIERDIR)/promises.soak go test -count=1 -timeout 12h -v -run '^TestP17$$' ./activation
	SOAK=1 PROMISES_OUT=$(TIERDIR)/promises.soak go test -count=1 -timeout 12h -v -run '^TestAdminQueriesAtVolume$$' ./activation/merchant
	SOAK=1 PROMISES_OUT=$(TIERDIR)/promises.soak go test -count=1 -timeout 12h -v -run '^TestP34MalformedRequests$$' ./agent/localapi
	SOAK=1 PROMISES_OUT=$(TIERDIR)/promises.soak .ci/fuzz $${FUZZTIME:-60s}
	FUZZ=10000000 PROMISES_TIER=soak PROMISES_OUT=$(TIERDIR)/promises.soak .ci/bindings c

.PHONY: defects
defects: ## each defect of docs/defects.md again, on the code before its fix
	@.ci/defects

.PHONY: promises
promises: ## write docs/promises.md from the results of the last test, prove and soak runs
	go test -count=1 -run TestPromises . -update-promises

.PHONY: bench
bench: ## benchmarks, as ratios against named baselines
	@.ci/bench

.PHONY: vm
vm: ## boot machines whose hardware we choose (MACHINES=dir for other people's machine files)
	@.ci/vm

.PHONY: wine
wine: ## the tests as Windows programs under Wine 10, and the Windows installation from end to end
	@.ci/wine

.PHONY: arm64
arm64: ## the tests as 64-bit ARM programs
	@.ci/arm64

.PHONY: packages
packages: ## deb, rpm, apk and tar.gz into dist/
	@.ci/packages dist

.PHONY: release
release: ## everything of a release, twice, into dist/release (VERSION=1.2.3 RELEASE_KEY=key.pem)
	@.ci/release

.PHONY: msi
msi: ## the Windows packages into dist/: MSI, zip, winget manifests (INSTANCE=name, SIGN_CERT, SIGN_KEY)
	@.ci/msi dist

.PHONY: e2e
e2e: ## install, upgrade and remove on a booted Debian (needs Debian and root)
	@.ci/e2e

.PHONY: postgres
postgres: ## the merchant's tests on a real PostgreSQL (PROVE=1 make postgres: at full numbers)
	@.ci/postgres

.PHONY: pkcs11
pkcs11: ## the merchant with its online keys in a PKCS#11 token (SoftHSM)
	@RACE='$(RACE)' .ci/pkcs11

.PHONY: bindings
bindings: build ## the clients in six languages: vectors, fakes, packages, real agents (needs root); prints the table of their README
	@mkdir -p $(TIERDIR) && rm -f $(TIERDIR)/promises.bindings
	@.ci/bindings

.PHONY: corpus
corpus: ## SMBIOS reader and placeholder rules over recorded machines (CORPUS=dir for other people's)
	[ -z "$${CORPUS:-}" ] || CORPUS=$$(realpath "$$CORPUS"); go test -count=1 -v -run 'TestCorpus' ./fingerprint/... | grep -v '^=== '

.PHONY: lint
lint: ## gofumpt, go vet and staticcheck, pinned
	@out="$$($(GOFUMPT) -l $$(git ls-files '*.go' | grep -v testdata))"; if [ -n "$$out" ]; then echo "not formatted (run: $(GOFUMPT) -w FILE): $$out"; exit 1; fi
	go vet ./...
	go vet -tags e2e,vm,wine,postgres ./...
	GOOS=windows go vet ./...
	@mkdir -p $(TIERDIR)/tools && GOBIN=$(TIERDIR)/tools go install $(STATICCHECK)
	$(TIERDIR)/tools/staticcheck ./...
	GOOS=windows $(TIERDIR)/tools/staticcheck -checks inherit,-U1000 ./...

.PHONY: vulncheck
vulncheck: ## known vulnerabilities that the programs can reach (DB=latest, or a folder of OSV files)
	@.ci/vulncheck

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (default 20s)
	@.ci/fuzz $${FUZZTIME:-20s}

.PHONY: cover
cover: ## coverage of all packages by all tests
	@mkdir -p $(TIERDIR)
	go test -count=1 -coverpkg=./... -coverprofile=$(TIERDIR)/cover.out ./... | grep -v 'no test files'
	@go tool cover -func=$(TIERDIR)/cover.out | tail -1

.PHONY: cross
cross: ## build and vet for every system we ship to
	@for t in linux/amd64 linux/arm64 windows/amd64 windows/arm64; do \
	  echo "cross $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} go vet ./... ; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} $(BUILD) -o /dev/null ./agent/cmd/license-agent; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} $(BUILD) -o /dev/null ./activation/cmd/license-merchant; done

.PHONY: repro
repro: ## build twice in two folders and compare the bytes
	@.ci/repro "$(VERSION)"

.PHONY: check
check: lint test cross repro ## what a change must pass before it is sent

.PHONY: rename
rename: ## give the module its real name: make rename MODULE=example.com/license-agent
	@test -n "$${MODULE:-}" || { echo "usage: make rename MODULE=example.com/license-agent"; exit 2; }
	@old=$$(go list -m); git grep -lF "$$old" -- ':!CHANGELOG.md' | xargs sed -i "s#$$old#$$MODULE#g"; echo "renamed $$old to $$MODULE"
