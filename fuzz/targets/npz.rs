//! Any bytes as a `.npz` archive: an error or an array, in memory for what there is.
#![no_main]

#[path = "../../cli/tests/common/hostile.rs"]
#[allow(dead_code, reason = "each target reads one format")]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::npz(bytes);
});
