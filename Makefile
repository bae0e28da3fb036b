# Each target installs what it lacks, into .tools where it can.

.DEFAULT_GOAL := help
.PHONY: help demo up down test chart chaos stream lint bench build rust envoy sdks redis chart-tools lint-tools
.NOTPARALLEL:

# Where rustup puts Rust, should the shell not know it yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8
	@echo
	@echo 'make up takes: NODES=3 REPLICA_GROUPS=1 RF=2 SHARDS=64 PORT=7700 CONTROL_PORT=8080'
	@echo '  MASTER_KEY=masterKey ADMIN_KEY=adminKey DATA_DIR=.miroir MEILISEARCH_BIN=a real server'
	@echo 'make chaos takes: MIROIR_CHAOS_SCHEDULES=30 MIROIR_CHAOS_SECONDS=150 MIROIR_CHAOS_SEED=1000'

demo: build envoy ## three nodes, a real catalogue, some searches, and one node less
	@$(TARGET)/release/miroir-demo

up: build envoy ## start a cluster in the background
	@$(TARGET)/release/miroir-harness up

down: ## stop it
	@if [ -x $(TARGET)/release/miroir-harness ]; then $(TARGET)/release/miroir-harness down; \
	else echo 'miroir: nothing is up'; fi

test: build envoy sdks redis chart-tools ## all tests, natively and as Wasm, and those of the Helm chart
	cargo test --release
	scripts/test-wasm
	scripts/test-chart

chart: build envoy chart-tools ## the tests of the Helm chart alone
	@scripts/test-chart

chaos: build envoy ## many schedules of faults against writers and readers; an hour or more
	cargo test --release --test chaos -- --ignored --nocapture --exact many_schedules

stream: build envoy ## send 1 GB through one connection, and print how much memory Envoy needed
	cargo test --release -p miroir-suites --test streaming -- --ignored --nocapture

lint: rust lint-tools envoy ## formatting, clippy, shellcheck, configuration files
	@scripts/lint

bench: build envoy redis ## time all that should be fast, in a quarter of an hour; the figures also go to target/benchmarks.json
	scripts/wasm -p miroir-bench-workload
	cargo build --profile wasm -p miroir-bench-workload --bin miroir-bench-native
	cargo build --release --bin miroir-bench
	cargo bench -p miroir-core
	@$(TARGET)/release/miroir-bench --json $(TARGET)/benchmarks.json

build: rust
	@scripts/build

rust:
	@scripts/install-rust

envoy:
	@scripts/install-envoy

sdks:
	@scripts/install-sdks

redis:
	@scripts/install-redis

chart-tools:
	@scripts/install-chart-tools

lint-tools:
	@scripts/install-lint-tools
