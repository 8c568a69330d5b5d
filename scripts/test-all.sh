#!/usr/bin/env bash
# What takes too long for every day: the GPU tests again on a device of WebGPU's least limits without any
# feature and on a second, stricter driver; every f32 through the CPU's functions; the fuzzer.
#
#     scripts/test-all.sh [seconds for the fuzzer, 3600 unless told]
#
# Needs what scripts/test.sh needs, and for the second driver Debian's chromium, for the fuzzer a nightly
# compiler and cargo-fuzz. What is missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
fuzz_seconds="${1:-3600}"

step() { printf '\n== %s\n' "$*"; }

gpu_tests=(--test golden --test suite --test options --test narrow --test family --test losses
    --test recording --test recording_losses --test recording_narrow --test mutants --test threads)

./scripts/test.sh

step "the least limits of WebGPU, no subgroups"
SURPRISAL_TEST_LIMITS=webgpu cargo test "${gpu_tests[@]}"

step "SwiftShader"
swiftshader="${SWIFTSHADER_ICD:-/usr/lib/chromium/vk_swiftshader_icd.json}"
if ! [ -f "$swiftshader" ]; then
    echo "no $swiftshader: install chromium, or set SWIFTSHADER_ICD" >&2
    exit 1
fi
VK_DRIVER_FILES="$swiftshader" cargo run -q -p surprisal-cli -- devices | grep SwiftShader
VK_DRIVER_FILES="$swiftshader" cargo test "${gpu_tests[@]}" --test traffic

step "every f32"
cargo test --release --lib every_number -- --ignored --nocapture

step "fuzzing for ${fuzz_seconds} s"
cargo +nightly fuzz run operations --fuzz-dir fuzz -- -max_total_time="$fuzz_seconds" -max_len=1024

step "everything passed"
