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

/// f64 files are computed in f32 where the device has no f64, and written as f64: the report says so.
#[test]
fn f64_files_are_told() {
    let folder = folder();
    let folder = folder.path();
    for device in DEVICES {
        let told = |args: &[&str]| {
            let run = surprisal(folder, &[args, &["--device", device]].concat());
            assert_eq!(run.code, 0, "{:?}", run.stderr);
            run.stdout.lines().find(|line| line.contains("f64 files")).map(str::to_owned)
        };
        let is_reference = device == "reference";
        for (args, dtype) in [
            (&["cross-entropy", "x.npy", "y.npy"][..], "f32"),
            (&["softmax", "x.npy", "--dtype", "bf16"], "bf16"),
            (&["js-divergence", "x.npy", "x.npy", "--memory-limit", "1M"], "f32"),
            (&["cross-entropy", "x.npy", "q.npy"], "f32"),
        ] {
            let line = told(args);
            assert_eq!(line.is_some(), !is_reference, "{args:?} on {device}");
            let line = line.unwrap_or_default();
            assert!(is_reference || line.contains(&format!("rounded to {dtype} ")), "{line}");
            let computed_in = if is_reference { "f64" } else { "f32" };
            assert_eq!(report(folder, device, args)["computed_in"], computed_in);
        }
        assert_eq!(told(&["softmax", "fine.npy"]), None, "an f32 file on {device}");
        // Written as f64, with the digits of what it was computed in.
        npy(&folder.join("wide.npy"), &[1, 2], &[0.1f64, 0.0]);
        report(folder, device, &["softmax", "wide.npy", "--out", "p.npy"]);
        let p = read_npy::<f64>(&folder.join("p.npy")).1;
        assert_eq!(p.iter().all(|&p| f64::from(p as f32) == p), !is_reference, "{p:?}");
        // What the reference writes is f64 whatever it read.
        report(folder, device, &["softmax", "fine.npy", "--out", "p.npy"]);
        assert_eq!(read_floats(&folder.join("p.npy"), device).0, [1, 2]);
    }
}
