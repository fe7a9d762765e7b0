# What a newcomer types. Everything else is `cargo`.
#
#   make demo    a private PostgreSQL, a demo tenant, a demo model and the proxy; prints commands to paste
#   make test    every test
#   make check   formatting, lints and documentation, as strict as CI
#   make bench   micro-benchmarks and the load benchmark, on an optimised build
#   make fuzz    every fuzz target for ten minutes (FUZZ_SECONDS); needs a nightly toolchain and `cargo install cargo-fuzz`
#   make build   the optimised binary: target/release/bulkhead
#   make setup   only looks for what the others need, and installs it where it can

# rustup's installer puts cargo there, but only new login shells find it.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Where cargo puts what it builds.
BUILT := $(or $(CARGO_TARGET_DIR),target)

.PHONY: setup demo test check bench fuzz build

setup:
	@scripts/setup

# The unoptimised build is several times quicker to make, and quick enough to look at.
demo: setup
	@echo "building bulkhead (unoptimised; the first build takes a few minutes)" >&2
	cargo build --locked -p bulkhead
	@exec $(BUILT)/debug/bulkhead dev

# The tests in tests/ run the binary itself, so it has to exist first.
test:
	@scripts/setup --tests
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

check: setup
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench: setup
	cargo build --locked --release -p bulkhead -p bulkhead-benches --bins
	$(BUILT)/release/load
	cargo bench --locked -p bulkhead-benches

FUZZ_SECONDS ?= 600

# What a target finds lies in fuzz/artifacts afterwards, and becomes a test in fuzz-cases. Without sanitizers, which look for
# what safe code cannot do and cost most of the time.
fuzz:
	@set -e; for target in $$(cargo fuzz list); do \
		cargo +nightly fuzz run --sanitizer none $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=512 -timeout=20 -rss_limit_mb=4096; \
	done

build: setup
	cargo build --locked --release -p bulkhead
