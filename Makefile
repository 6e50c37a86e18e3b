# Everything a newcomer needs is `make demo` and `make test`; `make help` lists the rest.

GO        ?= go
BIN       := bin/tocsin
GOLANGCI  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VULNCHECK := golang.org/x/vuln/cmd/govulncheck@latest
HELM      := helm.sh/helm/v3/cmd/helm@v3.19.0
NFPM      := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.41.0
PROMTOOL  := github.com/prometheus/prometheus/cmd/promtool@v0.316.0
COMPOSE   := github.com/compose-spec/compose-go/v2/cmd@v2.16.2
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
FUZZTIME  ?= 20000x
KAFKA_LIBS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tocsin/kafka-e2e
VERSION   ?= $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || git log -1 --format=0.0.0-g%h 2>/dev/null || echo 0.0.0-devel)
# The same commit gives the same bytes, wherever it is built: no paths, no times, no build id.
STATIC    := -tags static -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.release=$(VERSION)"

export CGO_ENABLED = 0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## fetch the embedded ClickHouse (pinned by version and hash) into the user's cache
	@$(GO) run ./pipeline/embedded/fetch >/dev/null

.PHONY: build
build: ## build bin/tocsin
	$(GO) build -trimpath -o $(BIN) ./cmd/tocsin

.PHONY: demo
demo: deps build ## play the storyline on an embedded Kafka and ClickHouse, and check what came out
	$(BIN) demo

.PHONY: test
test: deps ## all tests; nothing is needed but what this fetches
	$(GO) test -shuffle=on -timeout 10m ./...
	$(GO) test -tags synctests -run 'TestModel$$' ./pipeline/kafka

.PHONY: race
race: deps ## all tests with the race detector; needs gcc
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout 15m ./...

.PHONY: lint
lint: ## linters, formatting, generated files
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run $(GOLANGCI) run ./...

.PHONY: generate
generate: ## rewrite docs and schemas that are made from the code
	$(GO) test ./cmd/tocsin -run TestDocsAreUpToDate -update

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME each, a number of inputs (default 20000x) or a time
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	for pkg in $$($(GO) list -f '{{.Dir}}' ./...); do \
	  tests=$$(cat $$pkg/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p'); \
	  [ -n "$$tests" ] || continue; \
	  $(GO) test -c -fuzz . -o "$$dir/fuzz.test" "$$pkg" || exit 1; \
	  for f in $$tests; do \
	    echo "$${pkg#$(CURDIR)/} $$f"; \
	    (cd $$pkg && "$$dir/fuzz.test" -test.run '^$$' -test.fuzz "^$$f\$$" -test.fuzztime $(FUZZTIME) \
	      -test.fuzzminimizetime 100x -test.fuzzcachedir "$$($(GO) env GOCACHE)/fuzz/$${pkg#$(CURDIR)/}") || exit 1; \
	  done; \
	done

.PHONY: hostile
hostile: ## every source format against megabytes of hostile input
	$(GO) test -run TestHostileInput ./processors/parse -thorough

.PHONY: many
many: ## a million events against a full scan of generated Sigma rules, 30,000 streams through correlations, a million series of the anomaly detector
	$(GO) test -run 'TestIndexEqualsScan|TestPipelineAgreesWithMatch' -v -timeout 30m ./processors/sigma -events 1000000 -streams 30000
	$(GO) test -run TestManySeries -v -timeout 30m ./processors/detect -series 1000000

.PHONY: public
public: ## public data that is not ours to ship: TOCSIN_SIGMA_DATA (rules and events) and TOCSIN_NAB_DATA (the anomaly benchmark)
	$(GO) test -tags public -count=1 -v -run 'TestPublic' ./processors/sigma ./bench/nab

.PHONY: reload
reload: ## 1,000 reloads of the rules under load
	CGO_ENABLED=1 $(GO) test -race -run TestReloadsUnderLoad -v ./processors/rule/ruletest -reloads 1000

.PHONY: e2e
e2e: deps image $(KAFKA_LIBS) ## against real servers, shippers, a real browser, the image as it runs: needs root, java, mvn, and the Debian packages that .ci/run names
	$(GO) vet -tags e2e ./pipeline/sample ./pipeline/clickhouse ./pipeline/bridge ./pipeline/console ./cmd/tocsin
	$(GO) test -tags e2e -count=1 ./pipeline/sample
	$(GO) test -tags e2e -count=1 -run TestE2E ./pipeline/clickhouse ./pipeline/bridge
	$(GO) test -tags e2e -count=1 -run TestBrowser ./pipeline/console
	TOCSIN_KAFKA_LIBS=$(KAFKA_LIBS) TOCSIN_IMAGE=$(CURDIR)/dist/image $(GO) test -tags e2e -count=1 -v -timeout 15m -run TestE2E ./cmd/tocsin

# Apache Kafka's broker, by Maven. The last step makes the folder: one that is there is whole.
$(KAFKA_LIBS): cmd/tocsin/testdata/kafka/pom.xml
	rm -rf $@ $@.part
	mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$@.part
	mv $@.part $@ && touch $@

.PHONY: faults
faults: ## every kind of Kafka's requests fails with every error
	$(GO) test -run TestFaults -parallel 16 ./pipeline/kafka -thorough

.PHONY: model
model: ## 1,000 schedules of crashes, rebalances and faults on a clock of their own; then each protection taken out, which must show
	$(GO) test -tags synctests -run 'TestModel$$' -v -timeout 30m ./pipeline/kafka -seeds 1000
	$(GO) test -tags synctests -run TestModelNeedsEachProtection -v -timeout 30m ./pipeline/kafka -mutations 300

.PHONY: kills
kills: deps ## kill the pipeline 200 times at random, under load; and ClickHouse 20 times in the middle of inserts
	$(GO) test -run TestKilledPipeline -v -kills 200 -timeout 30m ./cmd/tocsin
	$(GO) test -run TestKilledServer -v -kills 20 -timeout 30m ./pipeline/clickhouse

.PHONY: rollups
rollups: deps ## rollups against what was acknowledged, over 300 chunks, 60 kills
	$(GO) test -run TestR69 -count=1 -v -timeout 1h ./pipeline/clickhouse -rollup-chunks 300

.PHONY: storm
storm: deps ## 100,000 matching events of 10,000 hosts: each team gets its cap, none is lost
	STORM=1 $(GO) test -run TestStorm -count=1 -v ./cmd/tocsin

.PHONY: oracles
oracles: ## the rule engine against slow and plain versions of itself, over 10,000 random streams of each kind (a quarter of an hour)
	$(GO) test -timeout 2h -run 'Oracle|Trace|Changelog' ./processors/correlate -seeds 10000

.PHONY: bench
bench: deps build ## benchmarks of the hot paths, with allocations; then tocsin beside its peers
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) run ./bench/peers

.PHONY: bench-peers
bench-peers: deps build ## tocsin as shipped beside Bento, OpenTelemetry Collector, Telegraf and rsyslog, those that are installed
	$(GO) run ./bench/peers

.PHONY: bench-parse
bench-parse: ## how fast every source format is read, beside encoding/json, with allocations
	$(GO) run ./bench/parse

.PHONY: bench-ingest
bench-ingest: deps build ## tocsin as shipped, Kafka to ClickHouse: events/s, CPU and memory
	$(GO) run ./bench/ingest

.PHONY: bench-stages
bench-stages: deps build ## what each stage of ingest costs an event, beside the least that it can
	$(GO) run ./bench/ingest -jobs J1,J2 -rounds 1 -events 2000000 -stages

.PHONY: pgo
pgo: deps build ## bin/tocsin again, by a profile of itself at work: parsers 3 % faster, a build a minute of processor time longer
	$(GO) run ./bench/ingest -jobs J2 -rounds 1 -profile bin/tocsin.pgo
	$(GO) build -trimpath -pgo=bin/tocsin.pgo -o $(BIN) ./cmd/tocsin

.PHONY: bench-warehouse
bench-warehouse: deps ## what an event costs ClickHouse, and how long panels and questions take on ROWS events (default 10 million)
	$(GO) run ./bench/warehouse size
	$(GO) run ./bench/warehouse scale -rows $(or $(ROWS),10000000)

.PHONY: bench-rules
bench-rules: ## what 10 to 3,000 rules cost an event, beside naive expr; signals a second through detect
	$(GO) run ./bench/rules
	$(GO) run ./bench/detect

.PHONY: bench-latency
bench-latency: deps build ## from a record's arrival in Kafka to its alert, at half of the most that this machine bears
	$(GO) run ./bench/latency

.PHONY: soak
soak: deps build ## load for MINUTES (default 20) while processes, broker, ClickHouse, disk, clocks and rules fail: records, alerts, audit, memory and lag; needs root
	$(GO) run ./bench/soak -minutes $(or $(MINUTES),20) -rate $(or $(RATE),1000)

.PHONY: vuln
vuln: ## known vulnerabilities in what we depend on
	$(GO) run $(VULNCHECK) ./...

.PHONY: release
release: ## static binaries for linux in dist/, the same bytes from the same commit, with their checksums
	@rm -rf dist && mkdir -p dist
	@for arch in amd64 arm64; do \
	  GOOS=linux GOARCH=$$arch $(GO) build $(STATIC) -o dist/tocsin-$(VERSION)-linux-$$arch ./cmd/tocsin || exit 1; \
	done
	@cd dist && sha256sum tocsin-* | tee SHA256SUMS

.PHONY: image
image: release ## container image of linux/amd64 and arm64, without a container engine: dist/image (OCI layout), dist/tocsin-VERSION-image.tar (docker load)
	$(GO) run ./deploy/image -version $(VERSION)

.PHONY: sbom
sbom: ## what the binary is made of, as CycloneDX, in dist/tocsin.cdx.json
	@mkdir -p dist
	GOFLAGS=-tags=static $(GO) run $(CYCLONEDX) app -json -licenses -main cmd/tocsin -output dist/tocsin.cdx.json .

.PHONY: packages
packages: ## deb and rpm in dist/, with manual, completion and units
	@mkdir -p dist/bin dist/man dist/completion
	$(GO) build $(STATIC) -o dist/bin/tocsin ./cmd/tocsin
	$(GO) test ./cmd/tocsin -count=1 -run '^TestManPages$$' -man $(CURDIR)/dist/man
	@dist/bin/tocsin completion bash > dist/completion/tocsin.bash
	@dist/bin/tocsin completion zsh > dist/completion/_tocsin
	@dist/bin/tocsin completion fish > dist/completion/tocsin.fish
	@for kind in deb rpm; do \
	  GOARCH=$$($(GO) env GOARCH) VERSION=$(VERSION) $(GO) run $(NFPM) package -f deploy/nfpm.yaml -p $$kind -t dist/ || exit 1; \
	done

.PHONY: chart
chart: ## Helm's own word on the chart
	$(GO) run $(HELM) lint deploy/helm/tocsin --strict --set image.repository=example.com/tocsin
	$(GO) run $(HELM) template t deploy/helm/tocsin --kube-version 1.32.0 --set image.repository=example.com/tocsin \
	  --set receive.enabled=true --set sample.enabled=true --set ingest.autoscaling.mode=cpu --set detect.autoscaling.mode=lag >/dev/null

.PHONY: validate
validate: chart ## chart, compose file, Prometheus rules and units by the tools that read them; the first time it builds these
	$(GO) run $(COMPOSE) -no-interpolation deploy/docker-compose.yml >/dev/null
	$(GO) run $(PROMTOOL) check rules deploy/prometheus/rules.yaml
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && for unit in deploy/systemd/*.service; do \
	  sed -e 's|=/usr/bin/tocsin|=/bin/true|' -e '/^Documentation=man:/d' $$unit > $$dir/$$(basename $$unit); done && \
	  systemd-analyze verify $$dir/*.service

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
