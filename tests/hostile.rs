//! Input that nobody would mean. Miri interprets these tests, with fewer inputs: they take every
//! operation through the CPU path and need no GPU.

#![allow(dead_code, unreachable_pub, reason = "other test binaries and the fuzzer use the rest")]

#[path = "common/cases.rs"]
mod cases;
#[path = "common/hostile.rs"]
mod hostile;

use cases::Rng;

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

/// What the fuzzer found worth keeping.
#[test]
fn the_fuzzers_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/operations");
    let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let most = if cfg!(miri) { 4 } else { usize::MAX };
    let mut count = 0;
    for file in files.take(most) {
        let path = file.expect("it can be listed").path();
        hostile::run(&std::fs::read(&path).expect("it can be read"));
        count += 1;
    }
    assert!(count > 0, "{folder} is empty");
}

#[test]
fn random_bytes() {
    let inputs = if cfg!(miri) { 4 } else { 4000 };
    let (mut rng, mut done) = (Rng::new(11), 0);
    for _ in 0..inputs {
        let len = 40 + rng.below(400);
        done += hostile::run(&bytes(&mut rng, len));
    }
    assert!(done > 5 * inputs / 2, "only {done} operations were sound");
}

/// 2048 classes and more are swept another way, and 65,536 in pieces.
#[test]
fn random_long_rows() {
    let lengths: &[usize] =
        if cfg!(miri) { &[2065] } else { &[2047, 2048, 2065, 65_535, 65_553, 131_073] };
    let (mut rng, mut done) = (Rng::new(12), 0);
    for &classes in lengths {
        done += hostile::run_row(&bytes(&mut rng, 8 * classes), classes);
    }
    assert!(done > 2 * lengths.len(), "only {done} operations were sound");
}
