//! Files that nobody would mean, from the fuzzers' corpora.

#[path = "common/hostile.rs"]
#[allow(unreachable_pub, reason = "the fuzzers share it")]
mod hostile;

use std::fs;
use std::path::PathBuf;

use surprisal_cli::error::Failure;

/// The files that were put there by hand, and what is said of them: nothing if they are sound.
const NPY: &[(&str, &str)] = &[
    ("valid-f16", ""),
    ("valid-f32", ""),
    ("valid-f64", ""),
    ("valid-i8", ""),
    ("valid-u8", ""),
    ("valid-i16", ""),
    ("valid-u16", ""),
    ("valid-i32", ""),
    ("valid-u32", ""),
    ("valid-i64", ""),
    ("valid-u64", ""),
    ("valid-scalar", ""),
    ("valid-empty", ""),
    ("valid-no-rows", ""),
    ("valid-version-2", ""),
    ("valid-version-3", ""),
    ("valid-fortran-of-one-dimension", ""),
    ("u64-beyond-i64", "no class"),
    ("no-bytes", "no header"),
    ("no-length", "no header"),
    ("wrong-magic", "does not begin like one"),
    ("version-4", "version 4.0"),
    ("truncated-header", "longer than the file"),
    ("truncated-elements", "truncated"),
    ("header-of-4-gib", "longer than the file"),
    ("header-of-20-kb", "longer than 10000 bytes"),
    ("no-text", "no text"),
    ("nested", "`[`"),
    ("records", "records"),
    ("fortran", ""),
    ("fortran-of-three-axes", ""),
    ("fortran-truncated", "truncated"),
    ("big-endian", ""),
    ("big-endian-integers", ""),
    ("bool", ""),
    ("order-of-bytes-missing", "holds |f4"),
    ("bytes-that-follow", ""),
    ("complex", "c8"),
    ("bytes-of-2-to-the-60", "truncated"),
    ("elements-of-2-to-the-60", "truncated"),
    ("elements-of-2-to-the-62", "claims"),
    ("elements-of-2-to-the-128", "claims"),
    ("one-size-too-large", "no size"),
];

const SAFETENSORS: &[(&str, &str)] = &[
    ("valid-f16", ""),
    ("valid-bf16", ""),
    ("valid-f32", ""),
    ("valid-f64", ""),
    ("valid-i8", ""),
    ("valid-u8", ""),
    ("valid-i16", ""),
    ("valid-u16", ""),
    ("valid-i32", ""),
    ("valid-u32", ""),
    ("valid-i64", ""),
    ("valid-u64", ""),
    ("valid-scalar", ""),
    ("valid-empty", ""),
    ("valid-no-rows", ""),
    ("valid-two-and-metadata", ""),
    ("u64-beyond-i64", "no class"),
    ("no-bytes", "no header"),
    ("no-tensors", "no tensor"),
    ("no-json", "not a .safetensors"),
    ("nested", "not a .safetensors"),
    ("two-others", "no tensor `a`; it has b, c"),
    ("header-of-2-to-the-63", "longer than the file"),
    ("truncated-header", "longer than the file"),
    ("truncated-elements", "truncated"),
    ("bool", ""),
    ("bytes-that-follow", "3 bytes follow"),
    ("float8", "F8_E4M3"),
    ("overlapping-offsets", "not a .safetensors"),
    ("offsets-with-a-gap", "not a .safetensors"),
    ("offsets-backwards", "not a .safetensors"),
    ("offsets-of-another-shape", "not a .safetensors"),
    ("elements-of-2-to-the-60", "truncated"),
    ("elements-of-2-to-the-128", "not a .safetensors"),
    ("offsets-to-the-end-of-u64", "longer than any file"),
    ("one-name-twice", "one name"),
];

const NPZ: &[(&str, &str)] = &[
    ("valid-stored", ""),
    ("valid-deflated", ""),
    ("valid-two", ""),
    ("valid-zip64", ""),
    ("no-bytes", "not a .npz archive"),
    ("no-members", "no members"),
    ("two-others", "no member `a`; it has b, c"),
    ("no-array", "not a .npy file"),
    ("wrong-checksum", "checksum"),
    ("wrong-checksum-deflated", "checksum"),
    ("broken-deflate", "deflate"),
    ("truncated-member", "truncated"),
    ("truncated-archive", "not a .npz archive"),
    ("claims-a-terabyte", "truncated"),
    ("encrypted", "encrypted"),
    ("bzip2", "compressed by"),
];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(name)
}

fn check(name: &str, read: fn(&[u8]) -> Result<(), Failure>, by_hand: &[(&str, &str)]) {
    let mut count = 0;
    for entry in fs::read_dir(folder(name)).expect("the corpus is in the repository") {
        let path = entry.expect("it can be listed").path();
        let bytes = fs::read(&path).expect("it can be read");
        let said = read(&bytes).err().map(|failure| failure.message);
        let file = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        if let Some((_, part)) = by_hand.iter().find(|(name, _)| *name == file) {
            count += 1;
            match said {
                None => assert!(part.is_empty(), "{file}: read, where `{part}` was to be said"),
                Some(said) => {
                    assert!(!part.is_empty() && said.contains(part), "{file}: {said}");
                }
            }
        }
    }
    assert_eq!(count, by_hand.len(), "files are missing");
}

/// In one test: what memory is taken is counted for the whole process.
#[test]
fn the_fuzzers_corpora() {
    check("npy", hostile::npy, NPY);
    check("safetensors", hostile::safetensors, SAFETENSORS);
    check("npz", hostile::npz, NPZ);
}
