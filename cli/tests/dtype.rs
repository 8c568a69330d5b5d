//! `--dtype`: what is stored in 16 bits on the device is rounded so, wherever it is computed, and
//! what is written has its file's dtype.

mod common;

use std::path::Path;

use common::{DEVICES, quarters, read_floats, read_npy, report, surprisal, write_npy as npy};

/// Row [1 + 1/300, 0]: 1.0029296875 in f16, 1 in bf16; f32 has it nearly.
fn folder() -> tempfile::TempDir {
    let folder = quarters();
    npy(&folder.path().join("fine.npy"), &[1, 2], &[1.0f32 + 1.0 / 300.0, 0.0]);
    npy(&folder.path().join("zero.npy"), &[1], &[0i64]);
    npy(&folder.path().join("labels.npy"), &[1, 2], &[1u8, 0]);
    folder
}

fn stored(dtype: &str) -> f64 {
    match dtype {
        "f16" => 1.002_929_687_5,
        "bf16" => 1.0,
        _ => f64::from(1.0f32 + 1.0 / 300.0),
    }
}

fn assert_near(what: &str, got: f64, want: f64, bound: f64) {
    assert!((got - want).abs() <= bound * want.abs(), "{what}: got {got}, want {want}");
}

#[test]
fn rounds_what_is_computed_from() {
    let folder = folder();
    let folder = folder.path();
    for device in DEVICES {
        for dtype in ["f32", "f16", "bf16"] {
            let x = stored(dtype);
            let what = format!("{dtype} on {device}");
            let args = ["cross-entropy", "fine.npy", "zero.npy", "--dtype", dtype];
            let args = [&args[..], &["--grad", "g.npy"]].concat();
            let got = report(folder, device, &args);
            let loss = got["loss"].as_f64().expect("a number");
            assert_near(&what, loss, (-x).exp().ln_1p(), 1e-6);
            let (name, size) = if device == "reference" { ("f64", 8) } else { (dtype, of(dtype)) };
            assert_eq!(got["dtype"], name, "{what}");
            assert_eq!(got["bytes_moved"], 2 * 2 * size, "read and written, {what}");
            // The gradient is stored in 16 bits too, and written as the file has it.
            let (_, g) = read_floats(&folder.join("g.npy"), device);
            let p = 1.0 / (1.0 + x.exp());
            let half_ulp = match dtype {
                "f16" => 1.0 / 2048.0,
                "bf16" => 1.0 / 256.0,
                _ => 1e-6,
            };
            assert_near(&what, g[0], -p, half_ulp);
            if dtype != "f32" && device != "reference" {
                assert_eq!(g[0], rounded(g[0], dtype), "{what}: {} has more digits", g[0]);
            }
            let (_, probs) = softmax(folder, device, dtype);
            assert_near(&what, probs[0], 1.0 - p, half_ulp);
        }
    }
}

fn of(dtype: &str) -> u64 {
    if dtype == "f32" { 4 } else { 2 }
}

fn rounded(x: f64, dtype: &str) -> f64 {
    if dtype == "f16" { half::f16::from_f64(x).into() } else { half::bf16::from_f64(x).into() }
}

fn softmax(folder: &Path, device: &str, dtype: &str) -> (Vec<u64>, Vec<f64>) {
    let args = ["softmax", "fine.npy", "--dtype", dtype, "--out", "p.npy"];
    report(folder, device, &args);
    read_floats(&folder.join("p.npy"), device)
}

#[test]
fn goes_with_every_command() {
    let folder = folder();
    let folder = folder.path();
    let commands: [&[&str]; 8] = [
        &["cross-entropy", "x.npy", "q.npy"],
        &["focal", "fine.npy", "zero.npy"],
        &["binary-cross-entropy", "fine.npy", "labels.npy", "--weights", "fine.npy"],
        &["kl-divergence", "x.npy", "x.npy"],
        &["js-divergence", "x.npy", "probs.npy"],
        &["elementwise", "--loss", "squared", "fine.npy", "labels.npy"],
        &["logsumexp", "fine.npy"],
        &["entropy", "fine.npy"],
    ];
    for command in commands {
        for device in ["cpu", "gpu"] {
            let args = [command, &["--dtype", "bf16"]].concat();
            assert_eq!(report(folder, device, &args)["dtype"], "bf16", "{command:?} on {device}");
        }
    }
    // f64 files keep their dtype: of what is written, and to the reference's digits.
    report(folder, "gpu", &["softmax", "x.npy", "--dtype", "f16", "--out", "p.npy"]);
    let (shape, p) = read_npy::<f64>(&folder.join("p.npy"));
    assert_eq!((shape, p[0]), (vec![2, 1, 2], rounded(p[0], "f16")));
    let none = surprisal(folder, &["softmax", "x.npy", "--dtype", "f8"]);
    none.fails(2, &["--dtype", "f8"]);
}
