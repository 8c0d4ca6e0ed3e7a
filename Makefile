# Thin names; the logic is in xtask/ and the crates.
.PHONY: run test test-long bench load compare sim lint image-root

run:
	cargo run --release --locked

# xtask is built with everything else: alone it would take other features of its libraries, and most of them built twice.
TESTS = cargo test --quiet --workspace --locked --features link/given --no-run

test:
	$(TESTS)
	target/debug/xtask test

# What `make test` leaves out since it takes minutes: load, images, fuzzing.
test-long:
	$(TESTS)
	target/debug/xtask test-long

# PostgreSQL and Redis to develop against: prints their addresses, Ctrl-C stops them.
.PHONY: services
services:
	cargo run --quiet --locked --package xtask -- services

bench:
	cargo run --quiet --locked --package xtask -- bench

# Finds linkr's maximum and measures at 10 to 100 % of it: target/load/sweep.json and a plot, sweep.svg. ARGS go to linkr-loadtest.
load:
	cargo run --quiet --locked --package xtask -- load $(ARGS)

# linkr, nginx, HAProxy and the floor in turn, round by round: target/compare.
compare:
	cargo run --quiet --locked --package xtask -- compare $(ARGS)

# Real processes under faults, judged from outside, in the long form (about an hour); ARGS go to the first.
.PHONY: trials
trials:
	cargo build --release --locked --package cli --package trials --package loadtest --package xtask
	target/release/linkr-trials run --json target/trials.json $(ARGS)
	target/release/linkr-trials run --stack production --controls 2 --trials 5 --window 3000 --json target/production.json
	target/release/linkr-trials run --stack cluster --controls 2 --trials 5 --window 3000 --json target/cluster.json \
	  --faults a-control-lost,redis-node-lost,redis-stopped,redis-flushed,redis-older
	target/release/linkr-trials outage --json target/outage.json
	target/release/linkr-trials import
	target/release/linkr-trials attacks --driver uring
	target/release/linkr-trials attacks --driver epoll
	target/release/linkr-trials beside --driver uring
	target/release/linkr-trials beside --driver epoll
	target/release/linkr-trials clicks
	target/release/linkr-trials handovers
	target/release/linkr-trials storm
	target/release/linkr-trials bulk
	target/release/linkr-trials pages --store sqlite
	target/release/linkr-trials pages --store postgres

# Two edges, each restarted twenty times behind a real HAProxy and a real nginx: no request may fail.
.PHONY: restarts
restarts:
	LINKR_LONG=1 cargo test --locked --package cli --test e2e accurate::a_roll -- --nocapture

# The protocol of propagation on one thread from one seed (docs/propagation.md): make sim SEED=… STEPS=…; SEEDS=100000
# for as many from there on. ARGS go to linkr-sim.
SEED ?= 0
SEEDS ?= 1
STEPS ?= 1000
sim:
	cargo run --release --quiet --locked --package sim -- --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS) $(ARGS)

# Coverage-guided, for TIME seconds: make fuzz TARGET=head TIME=600; without TARGET all of them side by side.
TIME ?= 60
.PHONY: fuzz
fuzz:
	cargo run --quiet --locked --package xtask -- fuzz $(TIME) $(TARGET)

# Licences, sources, banned and known-to-be-weak libraries, by cargo-deny, which is built into target/tools first.
.PHONY: deny
deny:
	cargo run --quiet --locked --package xtask -- deny

lint:
	cargo run --quiet --locked --package xtask -- lint

# What is handed to people, in target/release-files: tarball, Debian package, image, inventory, check sums. With another
# BINARY than a new one: make release ARGS="--binary PATH". release-twice proves that a commit gives the same bytes again.
.PHONY: release release-twice
release:
	cargo run --quiet --locked --package xtask -- release $(ARGS)
release-twice:
	cargo run --quiet --locked --package xtask -- release-twice

# The tree that the container image is made of: make image-root DIR=… BINARY=…
DIR ?= target/image-root
BINARY ?= target/dist/linkr
image-root:
	cargo run --quiet --locked --package xtask -- image-root $(DIR) --binary $(BINARY)

# A minute from the built binary to a dashboard: visitors, a fault and its alert, an upgrade under load; pictures in target/demo.
.PHONY: demo
demo:
	cargo build --release --locked --package cli --package loadtest
	cargo run --quiet --locked --package xtask -- demo target/release target/demo
