//! Any bytes as a `.npy` file: an error or what the bytes say, in memory for what there is.
#![no_main]

#[path = "../../cli/tests/common/hostile.rs"]
#[allow(dead_code, reason = "each target reads one format")]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::npy(bytes);
});
