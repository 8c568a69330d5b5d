//! A batch for every loss, and what a command makes of it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{surprisal, write_npy};

/// Numbers that look arbitrary.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 21) as f32 - 4.0
    };
    (0..count).map(next).collect()
}

/// A batch `[rows, 50]` and all that the losses read.
pub fn batch(rows: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (shape, count) = ([rows as u64, 50], rows * 50);
    write_npy(&path("x.npy"), &shape, &noise(count, 1));
    write_npy(&path("t.npy"), &shape, &noise(count, 2));
    let halves: Vec<_> = noise(count, 3).iter().map(|&x| half::f16::from_f32(x)).collect();
    write_halves(&path("h.npy"), shape, &halves);
    let probs: Vec<f32> = noise(count, 4).iter().map(|x| (x + 4.0) / 8.0).collect();
    write_npy(&path("q.npy"), &shape, &probs);
    let bits: Vec<u8> = noise(count, 5).iter().map(|x| u8::from(*x > 0.0)).collect();
    write_npy(&path("bits.npy"), &shape, &bits);
    write_npy(&path("each.npy"), &shape, &noise(count, 6));
    write_npy(&path("up.npy"), &[rows as u64], &noise(rows, 7));
    write_npy(&path("w.npy"), &[50], &probs[..50]);
    let y: Vec<i64> = (0i64..).take(rows).map(|i| if i % 7 == 3 { -100 } else { i % 50 }).collect();
    write_npy(&path("y.npy"), &[rows as u64], &y);
    let y: Vec<u8> = (0..=49u8).cycle().take(rows).collect();
    write_npy(&path("y8.npy"), &[rows as u64], &y);
    folder
}

fn write_halves(path: &Path, shape: [u64; 2], values: &[half::f16]) {
    let mut header = format!(
        "{{'descr': '<f2', 'fortran_order': False, 'shape': ({}, {}), }}",
        shape[0], shape[1]
    );
    header += &" ".repeat(117 - header.len());
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(bytemuck::cast_slice(values));
    fs::write(path, bytes).expect("the folder can be written");
}

/// What the tests' commands write.
pub const OUTPUTS: [&str; 3] = ["out.npy", "grad.npy", "lse.npy"];

/// The outputs of a command, and its report but for the seconds.
pub type Answer = (Vec<Option<Vec<u8>>>, Value);

pub fn run(folder: &Path, device: &str, args: &[&str]) -> Answer {
    remove_outputs(folder);
    let report = surprisal(folder, &[args, &["--device", device, "--json"]].concat()).json();
    answer(folder, report)
}

pub fn remove_outputs(folder: &Path) {
    for name in OUTPUTS {
        let _ = fs::remove_file(folder.join(name));
    }
}

pub fn answer(folder: &Path, mut report: Value) -> Answer {
    report.as_object_mut().expect("an object").remove("seconds");
    (OUTPUTS.iter().map(|name| fs::read(folder.join(name)).ok()).collect(), report)
}
