# Each recipe is a few plain commands; without just, paste them.

# Everything that continuous integration checks
test:
    ./scripts/test.sh

# And what takes hours, step by step: least limits, a second driver, validation, Miri, fuzzers, a soak
test-all *steps:
    ./scripts/test-all.sh {{ steps }}

# Formatting, lints and documentation, without running anything
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The tests that need no GPU
test-cpu:
    cargo test --test reference --test plan --test shaders --lib

# CPU path against its peers and the memory, round by round
bench:
    cargo bench --bench pairs

# CPU path against GPU
bench-gpu:
    cargo bench --bench gpu

# The WGSL of every kernel, in target/wgsl
wgsl:
    cargo run --release --example dump_wgsl

# Licenses, bans and sources of the dependencies
deny:
    cargo deny check licenses bans sources
