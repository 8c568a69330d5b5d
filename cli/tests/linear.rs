//! `linear-cross-entropy`, against a stored layer's logits and PyTorch's habits, whole and in windows.

mod common;

use std::path::Path;

use common::{DEVICES, assert_close, names, read_floats, report, surprisal, write_npy as npy};
use tempfile::TempDir;

const ROWS: usize = 60;
const WIDTH: usize = 5;
const CLASSES: usize = 40;

/// A layer, what it reads in the shape [4, 15, 5], its logits, and targets, one of them ignored.
fn layer() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    };
    let (hidden, weight) = (wave(ROWS * WIDTH, 0.7), wave(CLASSES * WIDTH, 1.3));
    let bias = wave(CLASSES, 2.1);
    let logits: Vec<f64> = (0..ROWS * CLASSES)
        .map(|i| {
            let (h, w) = (&hidden[i / CLASSES * WIDTH..], &weight[i % CLASSES * WIDTH..]);
            let products = h.iter().zip(w).take(WIDTH).map(|(h, w)| f64::from(*h) * f64::from(*w));
            products.sum::<f64>() + f64::from(bias[i % CLASSES])
        })
        .collect();
    let targets: Vec<i64> =
        (0i64..60).map(|row| if row == 7 { -100 } else { row * 11 % 40 }).collect();
    let batch = [4, 15];
    npy(&path("h.npy"), &[4, 15, WIDTH as u64], &hidden);
    npy(&path("w.npy"), &[CLASSES as u64, WIDTH as u64], &weight);
    npy(&path("b.npy"), &[CLASSES as u64], &bias);
    npy(&path("x.npy"), &[4, 15, CLASSES as u64], &logits);
    npy(&path("y.npy"), &batch, &targets);
    npy(&path("far.npy"), &batch, &[40i64; ROWS]);
    npy(&path("few.npy"), &[59], &[0i64; 59]);
    npy(&path("up.npy"), &batch, &wave(ROWS, 0.3));
    npy(&path("cw.npy"), &[CLASSES as u64], &[0.5f32; CLASSES]);
    npy(&path("wide.npy"), &[CLASSES as u64, 6], &[0.0f32; CLASSES * 6]);
    folder
}

const OUTPUTS: [&str; 5] = ["loss.npy", "lse.npy", "dh.npy", "dw.npy", "db.npy"];

/// A file's shape and numbers.
type Output = (Vec<u64>, Vec<f64>);

/// Runs the command with everything that can be written.
fn run(folder: &Path, device: &str, options: &str) -> (Vec<Output>, serde_json::Value) {
    let line = "linear-cross-entropy h.npy w.npy y.npy --bias b.npy --grad dh.npy --lse lse.npy \
                --grad-weight dw.npy --grad-bias db.npy --out loss.npy";
    let args: Vec<&str> = line.split_whitespace().chain(options.split_whitespace()).collect();
    let report = report(folder, device, &args);
    (OUTPUTS.map(|file| read_floats(&folder.join(file), device)).to_vec(), report)
}

#[test]
fn it_is_cross_entropy_of_the_logits() {
    let folder = layer();
    let folder = folder.path();
    for options in
        ["", "--reduction sum --unit bits --softcap 3", "--reduction none --upstream up.npy"]
    {
        for device in DEVICES {
            let (outputs, linear) = run(folder, device, options);
            let line = format!("cross-entropy x.npy y.npy --lse lse.npy --out loss.npy {options}");
            let args: Vec<&str> = line.split_whitespace().collect();
            let stored = report(folder, "reference", &args);
            for (file, got) in ["loss.npy", "lse.npy"].iter().zip(&outputs) {
                let (shape, want) = read_floats(&folder.join(file), "reference");
                assert_eq!(got.0, shape, "{file}");
                assert_close(file, device, &got.1, &want);
            }
            for field in ["rows", "classes", "kept_rows", "total_weight"] {
                assert_eq!(linear[field], stored[field], "{field}");
            }
        }
    }
}

#[test]
fn gradients_have_the_shapes_of_their_files() {
    let folder = layer();
    for device in DEVICES {
        let (outputs, _) = run(folder.path(), device, "--class-weights cw.npy --metrics");
        let shapes: Vec<_> = outputs.iter().map(|(shape, _)| shape.clone()).collect();
        assert_eq!(shapes, [vec![], vec![4, 15], vec![4, 15, 5], vec![40, 5], vec![40]]);
        // Columns of a softmax's gradient add up to nothing.
        assert!(outputs[4].1.iter().sum::<f64>().abs() < 1e-6);
        // The ignored row.
        assert_eq!(outputs[2].1[7 * WIDTH..8 * WIDTH], [0.0; WIDTH]);
    }
}

#[test]
fn windows_make_the_same() {
    let folder = layer();
    for options in
        ["--metrics", "--reduction none --upstream up.npy", "--class-weights inverse-frequency"]
    {
        for (device, limit) in [("cpu", "9K"), ("cpu", "1M"), ("gpu", "40K"), ("reference", "32K")]
        {
            let (whole, mut report) = run(folder.path(), device, options);
            let (cut, mut cut_report) =
                run(folder.path(), device, &format!("{options} --memory-limit {limit}"));
            for ((file, whole), cut) in OUTPUTS.iter().zip(&whole).zip(&cut) {
                assert_eq!(whole.0, cut.0, "{file}");
                assert_close(file, device, &cut.1, &whole.1);
            }
            for report in [&mut report, &mut cut_report] {
                report.as_object_mut().expect("an object").remove("seconds");
                // Sums in another order.
                for sum in ["loss", "total_weight"] {
                    let value = report[sum].as_f64().map(|value| (value * 1e5).round());
                    report[sum] = value.into();
                }
            }
            assert_eq!(report, cut_report);
        }
    }
}

#[test]
fn bad_input_is_named() {
    let folder = layer();
    let before = names(folder.path());
    let fails = |line: &str, parts: &[&str]| {
        let args: Vec<&str> = "linear-cross-entropy".split(' ').chain(line.split(' ')).collect();
        surprisal(folder.path(), &[&args[..], &["--device", "cpu"]].concat()).fails(2, parts);
    };
    fails("h.npy w.npy far.npy --grad dh.npy", &["far.npy", "target 40 of row 0", "0..40"]);
    fails("h.npy wide.npy y.npy", &["wide.npy", "[40, 6]", "[classes, 5]"]);
    fails("h.npy h.npy y.npy", &["h.npy", "[4, 15, 5]"]);
    fails("h.npy w.npy few.npy", &["few.npy", "[59]", "60 rows"]);
    fails("h.npy w.npy x.npy", &["x.npy", "class indices"]);
    fails("h.npy w.npy y.npy --bias up.npy", &["up.npy", "40 classes"]);
    fails("h.npy w.npy y.npy --grad-bias db.npy", &["--bias"]);
    fails("h.npy w.npy y.npy --grad-weight w.npy", &["--grad-weight", "w.npy"]);
    fails("h.npy w.npy y.npy --memory-limit 1K", &["--memory-limit 1K", "the layer", "bytes"]);
    fails("h.npy w.npy y.npy --softcap 0", &["--softcap"]);
    fails("h.npy w.npy y.npy --class-weights b.npy --label-smoothing 2", &["--label-smoothing"]);
    assert_eq!(names(folder.path()), before, "nothing is left behind");
}
