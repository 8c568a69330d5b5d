//! Input that nobody would mean.

mod common;

use common::cases::Rng;
use common::hostile;

/// What the fuzzer found worth keeping.
#[test]
fn the_fuzzers_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/operations");
    let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let mut count = 0;
    for file in files {
        let path = file.expect("it can be listed").path();
        hostile::run(&std::fs::read(&path).expect("it can be read"));
        count += 1;
    }
    assert!(count > 0, "{folder} is empty");
}

#[test]
fn random_bytes() {
    let (mut rng, mut done) = (Rng::new(11), 0);
    for _ in 0..4000 {
        let len = 40 + rng.below(400);
        let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        done += hostile::run(&bytes);
    }
    assert!(done > 10_000, "only {done} operations were sound");
}
