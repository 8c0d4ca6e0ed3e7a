# Thin names; the logic is in xtask/ and the crates.
.PHONY: run test bench lint image-root

run:
	cargo run --release --locked

test:
	cargo run --quiet --locked --package xtask -- test

bench:
	cargo run --quiet --locked --package xtask -- bench

lint:
	cargo run --quiet --locked --package xtask -- lint

# The tree that the container image is made of: make image-root DIR=… BINARY=…
DIR ?= target/image-root
BINARY ?= target/dist/linkr
image-root:
	cargo run --quiet --locked --package xtask -- image-root $(DIR) --binary $(BINARY)
