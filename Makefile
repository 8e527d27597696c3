# Commands of the project. `make lab` and `make test` install what they need (Debian packages; no service is started).
#
#   make lab        two nodes and a top-of-rack router on this machine, and pods that reach each other
#                   SHAPE=mesh|tor|two-tors|route-reflector  TOR=bird|frr  NODES=2
#   make lab-down   end it
#   make test       format, lints, every test but those of the cluster: pure, kernel, end to end
#   make cluster    a real Kubernetes on this machine: control plane, three nodes, a top-of-rack router (docs/cluster.md)
#                   CLUSTER=mk (its name)  IMAGE_PROFILE=release|dev
#   make cluster-down  end it
#   make test-cluster  the tests that want a cluster: brings one up, tests, ends it. Needs Go, to build Kubernetes once
#   make check      format, lints and house rules only
#   make interop    who passes what beside BIRD, FRR, GoBGP and OpenBGPD: writes docs/interop.md
#   make docs       write docs/bgp.md anew from the citations in the code
#   make bench      speed and size, each beside what it is compared with
#   make bench-bgp  BGP under load beside BIRD, FRR, GoBGP and OpenBGPD; writes docs/bench.md (half an hour),
#                   and fails if a promise in it is missed
#                   ROUNDS=3  LOADS=feeder-100k,mesh-200 (some only: printed, not written)
#   make bench-policy  what policies cost: packets, changes, beginnings, memory; writes docs/bench-policy.md, and fails if
#                   a promise in it is missed
#                   ROUNDS=5

SHAPE ?= tor
TOR ?= bird
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Network namespaces need root. Everything else is built by whoever calls.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
AS_ROOT := $(if $(SUDO),--config 'target."cfg(all())".runner="sudo -E"')
SHIPPED := --package margay-agent --package margay-cni --package margayctl
LAB_ARGS := --shape $(SHAPE) --router $(TOR) $(if $(NODES),--nodes $(NODES))

# CLUSTER is the user's: sudo does not hand it on, an option does.
CLUSTER_PROGRAM := $(SUDO) $(TARGET)/debug/margay-cluster $(if $(CLUSTER),--prefix $(CLUSTER))
# Each test program is bounded, as root and inside sudo: to end cargo from outside would leave the program running while
# the cluster is taken away, and a user cannot end sudo.
CLUSTER_TESTS := --config 'target."cfg(all())".runner="$(if $(SUDO),sudo -E )timeout --foreground -k 30 50m"'

IMAGE_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)

# A test that fails says why; where in the code it stood is noise.
export RUST_LIB_BACKTRACE = 0

.PHONY: lab lab-down test cluster cluster-image cluster-down test-cluster check interop bench bench-bgp bench-policy tools docs
.DEFAULT_GOAL := test

lab: tools
	@echo "== building (the first time takes some minutes)"
	@cargo build --release $(SHIPPED) --package e2e
	@$(SUDO) $(TARGET)/release/margay-lab up $(LAB_ARGS)

lab-down:
	@[ -x $(TARGET)/release/margay-lab ] || cargo build --quiet --release --package e2e --bin margay-lab
	@$(SUDO) $(TARGET)/release/margay-lab down

test: tools
	@echo "== 1/6 packages that the tests need"
	@cargo build --package e2e --bin margay-lab
	@$(SUDO) $(TARGET)/debug/margay-lab install tests
	@echo "== 2/6 format"
	@cargo fmt --all --check
	@echo "== 3/6 lints"
	@cargo clippy --workspace --all-targets -- -D warnings
	@echo "== 4/6 building programs and tests"
	@cargo build --workspace
	@cargo test --workspace --exclude cluster --no-run
	@echo "== 5/6 every test: house rules, tables, plans, simulations, the kernel in namespaces, real routers, the guest"
	@cargo $(AS_ROOT) test --workspace --exclude cluster --no-fail-fast -- --test-threads=2
	@echo "== 6/6 other decoders' opinion on the codec (a workspace of its own: bgp-rs is GPL-3.0)"
	@cargo test --locked --manifest-path bgp/oracle-tests/Cargo.toml --target-dir $(TARGET)/oracle-tests
	@echo "== all good"

cluster: tools cluster-image
	@cargo build --package cluster
	@$(CLUSTER_PROGRAM) up

cluster-image:
	@mkdir -p $(TARGET)/cluster/images
	@cargo xtask image --arch $(IMAGE_ARCH) --profile $(or $(IMAGE_PROFILE),release) --output $(TARGET)/cluster/images/margay.tar

cluster-down:
	@[ -x $(TARGET)/debug/margay-cluster ] || cargo build --quiet --package cluster
	@$(CLUSTER_PROGRAM) down

test-cluster: tools
	@echo "== 1/3 what a cluster consists of"
	@cargo build --package cluster
	@cargo test --package cluster --no-run
	@$(MAKE) --no-print-directory cluster-image
	@$(CLUSTER_PROGRAM) prepare
	@echo "== 2/3 a cluster"
	@# dash runs the EXIT trap on a signal only if the signal has a trap that exits.
	@trap 's=$$?; trap "" INT TERM; $(CLUSTER_PROGRAM) down || s=1; $(CLUSTER_PROGRAM) figures; exit $$s' EXIT; \
	  trap 'exit 130' INT; trap 'exit 143' TERM; \
	  $(CLUSTER_PROGRAM) up && echo "== 3/3 its tests" && \
	  cargo $(CLUSTER_TESTS) test --package cluster --no-fail-fast -- --test-threads=4
	@echo "== all good"

interop: tools
	@cargo build --workspace
	@$(SUDO) $(TARGET)/debug/margay-lab install tests
	@BLESS=1 cargo $(AS_ROOT) test --package e2e --test interop

check:
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@cargo test --quiet --package xtask

docs:
	@cargo xtask docs

bench: tools
	@cargo build --release $(SHIPPED) --package e2e
	@$(SUDO) $(TARGET)/release/margay-lab install lab
	@$(SUDO) $(TARGET)/release/margay-bench

bench-bgp: tools
	@cargo build --release $(SHIPPED) --package e2e
	@cargo build --release --package margay-agent --example speaker
	@$(SUDO) $(TARGET)/release/margay-lab install tests
	@$(SUDO) $(TARGET)/release/margay-bench-bgp --rounds $(or $(ROUNDS),3) --records $(TARGET)/bench-bgp.jsonl $(if $(LOADS),--only $(LOADS),--docs docs)

bench-policy: tools
	@cargo build --release $(SHIPPED) --package e2e
	@cargo build --release --package margay-agent --example rules
	@$(SUDO) $(TARGET)/release/margay-lab install lab
	@$(SUDO) $(TARGET)/release/margay-bench-policy --rounds $(or $(ROUNDS),5) --page docs/bench-policy.md

tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with https://rustup.rs, then run this again"; exit 1; }
	@command -v cc >/dev/null || { echo "== installing a linker (gcc, libc6-dev)"; \
	  $(SUDO) apt-get -q update >/dev/null && $(SUDO) apt-get -q install --yes --no-install-recommends gcc libc6-dev >/dev/null; }
