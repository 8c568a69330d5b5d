//! Any shapes, dtypes, bit patterns, targets and options: nothing panics, and the CPU path takes what
//! the reference takes.
#![no_main]

#[path = "../../tests/common/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hostile::run(bytes);
});
