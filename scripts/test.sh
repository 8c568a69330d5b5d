#!/usr/bin/env bash
# Runs every check and every test, on a machine with Rust and, on Linux, apt.
#
# The GPU tests need an adapter. Where there is none, this installs Mesa's software Vulkan driver;
# where that fails, the tests fail: a GPU test that cannot run has not passed.
set -euo pipefail
cd "$(dirname "$0")/.."

# Mesa complains about a desktop that is not there.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"

step() { printf '\n== %s\n' "$*"; }

has_adapter() { cargo run -q -p surprisal-cli -- devices | grep -q '^0 '; }

step "formatting"
cargo fmt --all --check

step "GPU adapter"
if ! has_adapter; then
    if ! command -v apt-get >/dev/null; then
        echo "no GPU adapter, and no apt-get to install a software driver with" >&2
        exit 1
    fi
    echo "no GPU adapter: installing libvulkan1 and mesa-vulkan-drivers (lavapipe) by apt-get"
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends libvulkan1 mesa-vulkan-drivers
    has_adapter || { echo "still no GPU adapter after installing Mesa's" >&2; exit 1; }
fi
cargo run -q -p surprisal-cli -- devices

step "lints"
cargo clippy --workspace --all-targets -- -D warnings

step "the library without its features"
cargo clippy -p surprisal --no-default-features -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

step "tests"
cargo test --workspace

step "examples"
for example in examples/*.rs; do
    cargo run -q --example "$(basename "$example" .rs)" >/dev/null
    echo "$example"
done

step "everything passed"
