# Thin names; the logic is in xtask/ and the crates.
.PHONY: run test bench load compare lint image-root

run:
	cargo run --release --locked

test:
	cargo run --quiet --locked --package xtask -- test

bench:
	cargo run --quiet --locked --package xtask -- bench

# Finds linkr's maximum and measures at 10 to 100 % of it: target/load/sweep.json. ARGS go to linkr-loadtest.
load:
	cargo run --quiet --locked --package xtask -- load $(ARGS)

# linkr, nginx, HAProxy and the floor in turn, round by round: target/compare.
compare:
	cargo run --quiet --locked --package xtask -- compare $(ARGS)

# Real processes under faults, judged from outside, in the long form (about 12 minutes); ARGS go to the first.
.PHONY: trials
trials:
	cargo build --release --locked --package cli --package trials
	target/release/linkr-trials run --json target/trials.json $(ARGS)
	target/release/linkr-trials outage --json target/outage.json
	target/release/linkr-trials import

lint:
	cargo run --quiet --locked --package xtask -- lint

# The tree that the container image is made of: make image-root DIR=… BINARY=…
DIR ?= target/image-root
BINARY ?= target/dist/linkr
image-root:
	cargo run --quiet --locked --package xtask -- image-root $(DIR) --binary $(BINARY)
