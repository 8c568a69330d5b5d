#!/usr/bin/env bash
# Random operations on every device for some time, each against the reference, with memory watched;
# before, what drivers leave behind by wgpu alone.
#
#     scripts/soak.sh [minutes, 60 unless told] [seed, 1 unless told]
set -euo pipefail
cd "$(dirname "$0")/.."

export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
SURPRISAL_SOAK_MINUTES="${1:-60}" SURPRISAL_SOAK_SEED="${2:-1}" \
    cargo test --test soak -- --ignored --nocapture --test-threads=1
