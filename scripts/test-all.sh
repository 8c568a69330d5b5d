#!/usr/bin/env bash
# What takes too long for every day: the GPU tests again on devices of WebGPU's and of GL's least limits,
# on a second, stricter driver and under Vulkan's validation layers; the CPU path under Miri; every
# f32 through the CPU's functions; the fuzzers; a soak; mutants.
#
#     scripts/test-all.sh [seconds for each fuzzer, 3600 unless told] [step ...]
#
# The steps are: tests least-limits downlevel swiftshader validation miri every-f32 fuzz soak, which are all
# run where none is named, and mutants.
#
# Needs what scripts/test.sh needs, and for swiftshader Debian's chromium, for validation its
# vulkan-validationlayers, for miri a nightly compiler with miri and rust-src, for mutants cargo-mutants,
# for fuzz the nightly compiler and cargo-fuzz. What is missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
fuzz_seconds=3600
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
    fuzz_seconds="$1"
    shift
fi

gpu_tests=(--test golden --test suite --test options --test narrow --test family --test losses
    --test recording --test recording_losses --test recording_narrow --test recording_linear --test recording_kept
    --test recording_masks --test masks --test js_beta --test probabilities --test pos_weight
    --test products --test linear --test linear_gpu --test linear_probs --test budget --test threads)
# And those that say something of limits or of errors themselves, or are about more than a driver.
all_gpu_tests=("${gpu_tests[@]}" --test cpu --test dtypes --test downlevel --test errors --test hot_path
    --test large --test stream --test stream_misuse --test textbook_regressions --test traffic --test worked_numbers)

step_tests() { ./scripts/test.sh; }

# With the mutants of shaders, which are others without subgroups; of drivers these say nothing.
step_least-limits() { SURPRISAL_TEST_LIMITS=webgpu cargo test "${gpu_tests[@]}" --test mutants; }

# Of GL's four storage buffers, what does not fit is refused; tests/downlevel.rs has the list.
step_downlevel() {
    SURPRISAL_TEST_LIMITS=downlevel cargo test --test downlevel --test suite --test dtypes \
        --test errors --test threads
}

step_swiftshader() {
    local driver="${SWIFTSHADER_ICD:-/usr/lib/chromium/vk_swiftshader_icd.json}"
    if ! [ -f "$driver" ]; then
        echo "no $driver: install chromium, or set SWIFTSHADER_ICD" >&2
        return 1
    fi
    VK_DRIVER_FILES="$driver" cargo run -q -p surprisal-cli -- devices | grep SwiftShader
    VK_DRIVER_FILES="$driver" cargo test "${gpu_tests[@]}" --test traffic
}

# The layers' own messages go to stdout, past the test harness. (With WGPU_DEBUG=1 they would go to a log
# that nobody reads; and layers older than 1.3.250 then complain about every shader's language.)
validated() { WGPU_VALIDATION=1 WGPU_DEBUG=0 cargo test "$@" 2>&1; }
complaint='Validation (Error|Warning)|VUID-|UNASSIGNED-'

step_validation() {
    local log
    log="$(mktemp)"
    validated --test validation -- --ignored >"$log"
    if ! grep -aEq "$complaint" "$log"; then
        echo "a planted fault was not reported: install vulkan-validationlayers" >&2
        return 1
    fi
    validated --no-fail-fast "${all_gpu_tests[@]}" | tee "$log"
    if grep -aEq "$complaint" "$log"; then
        echo "the validation layers complained" >&2
        return 1
    fi
    rm "$log"
}

# The portable vectors, on one thread: Miri knows too little of the others, and rayon's queues are not ours.
step_miri() {
    MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-deterministic-floats" \
        cargo +nightly miri test -p surprisal --no-default-features --lib --test hostile
}

step_every-f32() { cargo test --release --lib every_number -- --ignored --nocapture; }

step_mutants() { ./scripts/mutants.py; }

step_fuzz() {
    local target
    for target in operations npy npz safetensors; do
        cargo +nightly fuzz run "$target" --fuzz-dir fuzz -- \
            -max_total_time="$fuzz_seconds" -max_len=1024 -timeout=10
    done
}

step_soak() { ./scripts/soak.sh; }

steps=("$@")
if [ "${#steps[@]}" = 0 ]; then
    steps=(tests least-limits downlevel swiftshader validation miri every-f32 fuzz soak)
fi
for step in "${steps[@]}"; do
    printf '\n== %s\n' "$step"
    "step_$step"
done
printf '\n== everything passed\n'
