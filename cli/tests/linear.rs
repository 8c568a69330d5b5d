//! `linear-cross-entropy`, against a stored layer's logits and PyTorch's habits, whole and in windows.

mod common;

use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::{Child, Command};

#[cfg(target_os = "linux")]
use common::peak;
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
    let probs = (0..ROWS * CLASSES).map(|i| ((i % 7) * (i % 3)) as f32 / 240.0);
    npy(&path("q.npy"), &[4, 15, CLASSES as u64], &probs.collect::<Vec<f32>>());
    npy(&path("m.npy"), &batch, &(0i64..60).map(|row| i64::from(row % 9 != 4)).collect::<Vec<_>>());
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
    run_with("y.npy", folder, device, options)
}

fn run_with(
    targets: &str,
    folder: &Path,
    device: &str,
    options: &str,
) -> (Vec<Output>, serde_json::Value) {
    let line = format!(
        "linear-cross-entropy h.npy w.npy {targets} --bias b.npy --grad dh.npy --lse lse.npy \
         --grad-weight dw.npy --grad-bias db.npy --out loss.npy {options}"
    );
    let args: Vec<&str> = line.split_whitespace().collect();
    let report = report(folder, device, &args);
    (OUTPUTS.map(|file| read_floats(&folder.join(file), device)).to_vec(), report)
}

#[test]
fn it_is_cross_entropy_of_the_logits() {
    let folder = layer();
    let folder = folder.path();
    for (targets, options) in [
        ("y.npy", ""),
        ("y.npy", "--reduction sum --unit bits --softcap 3"),
        ("y.npy", "--reduction none --upstream up.npy"),
        ("q.npy", "--mask m.npy"),
        ("q.npy", "--reduction sum --label-smoothing 0.1 --class-weights cw.npy"),
        ("q.npy", "--reduction none --upstream up.npy --mask m.npy"),
    ] {
        for device in DEVICES {
            let (outputs, linear) = run_with(targets, folder, device, options);
            let line = format!(
                "cross-entropy x.npy {targets} --lse lse.npy --out loss.npy --grad dlogits.npy {options}"
            );
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
    for (targets, options) in [
        ("y.npy", "--metrics"),
        ("y.npy", "--reduction none --upstream up.npy"),
        ("y.npy", "--class-weights inverse-frequency"),
        ("q.npy", "--metrics"),
        ("q.npy", "--reduction none --upstream up.npy --mask m.npy"),
    ] {
        for (device, limit) in [("cpu", "9K"), ("cpu", "1M"), ("gpu", "40K"), ("reference", "32K")]
        {
            let run = |options: &str| run_with(targets, folder.path(), device, options);
            let (whole, mut report) = run(options);
            let (cut, mut cut_report) = run(&format!("{options} --memory-limit {limit}"));
            for ((file, whole), cut) in OUTPUTS.iter().zip(&whole).zip(&cut) {
                assert_eq!(whole.0, cut.0, "{file}");
                assert_close(file, device, &cut.1, &whole.1);
            }
            for report in [&mut report, &mut cut_report] {
                report.as_object_mut().expect("an object").remove("seconds");
                // Sums in another order.
                for sum in ["loss", "total_weight", "perplexity"] {
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
    fails("h.npy w.npy few.npy", &["few.npy", "[59]", "[60]"]);
    let parts = ["x.npy: -1.13", "of row 0, column 2 is no probability"];
    fails("h.npy w.npy x.npy", &parts);
    fails("h.npy w.npy x.npy --memory-limit 1M", &parts);
    let parts = ["h.npy: holds f32 [4, 15, 5]", "have the shape [4, 15, 40]"];
    fails("h.npy w.npy h.npy", &parts);
    fails("h.npy w.npy q.npy --ignore-index 3", &["--ignore-index", "probabilities"]);
    let parts = ["--class-weights", "inverse frequencies are counted from class indices"];
    fails("h.npy w.npy q.npy --class-weights inverse-frequency", &parts);
    fails("h.npy w.npy q.npy --class-weights inverse-frequency --memory-limit 1M", &parts);
    // Blocks of classes take class indices alone.
    let parts = ["--memory-limit 2K does not hold the layer and a row on its way"];
    fails("h.npy w.npy q.npy --grad-weight dw.npy --memory-limit 2K", &parts);
    fails("h.npy w.npy y.npy --bias up.npy", &["up.npy", "[40], one for each class"]);
    fails("h.npy w.npy y.npy --grad-bias db.npy", &["--bias"]);
    fails("h.npy w.npy y.npy --grad-weight w.npy", &["--grad-weight", "w.npy"]);
    let parts = ["--memory-limit 1K", "a class of it, and a row on its way", "bytes are the least"];
    fails("h.npy w.npy y.npy --memory-limit 1K", &parts);
    fails("h.npy w.npy y.npy --softcap 0", &["--softcap"]);
    fails("h.npy w.npy y.npy --class-weights b.npy --label-smoothing 2", &["--label-smoothing"]);
    assert_eq!(names(folder.path()), before, "nothing is left behind");
}

#[test]
fn blocks_make_the_same() {
    let folder = layer();
    // A row or two, and a few classes, at a time: the layer, its gradient and what belongs to all rows take
    // 3360 bytes.
    for options in ["--metrics", "--reduction none --upstream up.npy", "--label-smoothing 0.1"] {
        let (whole, _) = run(folder.path(), "cpu", options);
        for limit in ["3400", "3600"] {
            let cut = format!("{options} --memory-limit {limit}");
            expect_close("cpu", &whole, &run(folder.path(), "cpu", &cut).0);
        }
    }
    let parts = ["the layer", "row on its way"];
    let args = ["linear-cross-entropy", "h.npy", "w.npy", "y.npy", "--memory-limit", "3400"];
    surprisal(folder.path(), &[&args[..], &["--device", "reference"]].concat()).fails(2, &parts);
}

fn expect_close(device: &str, whole: &[Output], cut: &[Output]) {
    for ((file, whole), cut) in OUTPUTS.iter().zip(whole).zip(cut) {
        assert_eq!(whole.0, cut.0, "{file}");
        assert_close(file, device, &cut.1, &whole.1);
    }
}

/// A layer of many classes and few rows.
fn wide(rows: usize, width: usize, classes: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin() / 4.0).collect()
    };
    let [rows_64, width_64, classes_64] = [rows, width, classes].map(|n| n as u64);
    npy(&path("h.npy"), &[rows_64, width_64], &wave(rows * width, 0.7));
    npy(&path("w.npy"), &[classes_64, width_64], &wave(classes * width, 1.3));
    npy(&path("b.npy"), &[classes_64], &wave(classes, 2.1));
    let targets: Vec<i64> =
        (0..rows_64).map(|row| (row * 7919 % classes_64).cast_signed()).collect();
    npy(&path("y.npy"), &[rows_64], &targets);
    folder
}

#[test]
fn blocks_on_every_device() {
    let folder = wide(30, 100, 2000);
    for (device, limit) in [("cpu", "400K"), ("gpu", "3M")] {
        for options in ["", "--metrics --z-loss 0.01 --softcap 20 --logit-scale 2"] {
            let (whole, report) = run(folder.path(), device, options);
            let limited = format!("{options} --memory-limit {limit}");
            let (cut, cut_report) = run(folder.path(), device, &limited);
            expect_close(device, &whole, &cut);
            for field in ["rows", "classes", "kept_rows", "dtype", "bytes_moved", "accuracy"] {
                assert_eq!(report[field], cut_report[field], "{field}");
            }
        }
    }
}

#[test]
fn sums_of_sixteen_bits_are_rounded_once() {
    let folder = wide(64, 16, 50);
    let half = |name: &str, shape: &[u64]| {
        let (_, values) = read_floats(&folder.path().join(name), "cpu");
        let values: Vec<half::f16> = values.into_iter().map(half::f16::from_f64).collect();
        let path = folder.path().join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F16,
            shape.iter().map(|&n| n as usize).collect(),
            &bytes,
        );
        let tensors = [("t", view.expect("its shape"))];
        let file = safetensors::serialize(tensors, None).expect("it is serialised");
        std::fs::write(path.with_extension("safetensors"), file).expect("written");
    };
    half("h.npy", &[64, 16]);
    half("w.npy", &[50, 16]);
    let run = |limit: &[&str]| {
        let line = "linear-cross-entropy h.safetensors w.safetensors y.npy --reduction sum \
                    --grad-weight dw.safetensors";
        let args: Vec<&str> = line.split_whitespace().chain(limit.iter().copied()).collect();
        report(folder.path(), "cpu", &args);
        let (_, dtype, bytes) = common::tensor(&folder.path().join("dw.safetensors"), "dweight");
        assert_eq!(dtype, safetensors::Dtype::F16);
        let f16 = |bytes: &[u8]| half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f64();
        bytes.chunks(2).map(f16).collect::<Vec<_>>()
    };
    let whole = run(&[]);
    let cut = run(&["--memory-limit", "6K"]);
    for (whole, cut) in whole.iter().zip(&cut) {
        // A unit in the last place, where the sums fall on both sides of a number's half.
        assert!((whole - cut).abs() <= 1e-3 * whole.abs() + 1e-6, "{whole}, {cut}");
    }
    assert!(whole.iter().zip(&cut).filter(|(whole, cut)| whole != cut).count() < 20);
}

#[test]
fn the_least_limit_is_told() {
    let folder = wide(3, 5, 12);
    npy(&folder.path().join("q.npy"), &[3, 12], &[0.25f32; 36]);
    let cases = ["cpu", "gpu"].into_iter().flat_map(|it| [(it, "y.npy"), (it, "q.npy")]);
    for (device, targets) in cases {
        let run = |limit: &str| {
            let line = format!(
                "linear-cross-entropy h.npy w.npy {targets} --bias b.npy --grad dh.npy \
                 --grad-weight dw.npy --device {device} --memory-limit {limit}"
            );
            surprisal(folder.path(), &line.split_whitespace().collect::<Vec<_>>())
        };
        let failed = run("100");
        failed.fails(2, &["--memory-limit 100", "bytes are the least"]);
        let words = failed.stderr[0].split_whitespace();
        let least: u64 = words.rev().find_map(|word| word.parse().ok()).expect("a number");
        run(&(least - 1).to_string()).fails(2, &[&format!("{least} bytes are the least")]);
        assert_eq!(run(&least.to_string()).code, 0, "{device}: {least}");
    }
}

#[cfg(target_os = "linux")]
fn start(folder: &Path, device: &str, limit: &str, [hidden, layer, targets]: [&str; 3]) -> Child {
    let line = format!(
        "linear-cross-entropy {hidden}.npy {layer}.npy {targets}.npy --grad dh.npy --grad-weight dw.npy \
         --device {device} --memory-limit {limit} --quiet"
    );
    Command::new(env!("CARGO_BIN_EXE_surprisal"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("MESA_SHADER_CACHE_DIR", folder)
        .spawn()
        .expect("the command starts")
}

#[cfg(target_os = "linux")]
#[test]
fn a_layer_is_in_memory_if_that_leaves_room_for_rows() {
    let folder = wide(300, 100, 2000);
    // 800 kB of weights, with their gradient 2.4 MB; 8 kB of logits for each row.
    let weight = 2000 * 100 * 4;
    let bytes =
        |limit: &str| common::bytes_read(start(folder.path(), "cpu", limit, ["h", "w", "y"]));
    let (roomy, scarce) = (bytes("16M"), bytes("3M"));
    assert!((weight..2 * weight).contains(&roomy), "{roomy} bytes: the layer is read once");
    assert!(
        (2 * weight..3 * weight).contains(&scarce),
        "{scarce} bytes: it comes twice, in blocks"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_under_the_limit() {
    // 20 MB of weights and as much of gradient, in blocks; and a twentieth of either, in blocks that use the
    // same kernels: what a process and a driver take besides, of which a kernel's code is a megabyte or two.
    let folder = wide(32, 128, 40_000);
    npy(&folder.path().join("small.npy"), &[2048, 128], &vec![0.5f32; 2048 * 128]);
    npy(&folder.path().join("ones.npy"), &[32], &[1i64; 32]);
    for (device, megabytes, least) in [("cpu", 6, "400K"), ("gpu", 16, "3M")] {
        let baseline = || peak(start(folder.path(), device, least, ["h", "small", "ones"]));
        // The first run may compile kernels, which takes more than running them.
        baseline();
        let baseline = baseline();
        let limit = format!("{megabytes}M");
        let peak = peak(start(folder.path(), device, &limit, ["h", "w", "y"]));
        let room = (megabytes << 20) + baseline;
        assert!(peak < room, "{device}: {peak} bytes of {room}, {baseline} of them at any rate");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn probabilities_stay_under_the_limit() {
    // 20 MB of probabilities, and a twentieth of them.
    let (rows, classes) = (20_000, 256);
    let folder = wide(rows, 16, classes);
    let path = |name: &str| folder.path().join(name);
    npy(&path("q.npy"), &[rows as u64, classes as u64], &vec![0.001f32; rows * classes]);
    npy(&path("few.npy"), &[rows as u64 / 20, 16], &vec![0.5f32; rows / 20 * 16]);
    npy(&path("p.npy"), &[rows as u64 / 20, classes as u64], &vec![0.001f32; rows / 20 * classes]);
    for device in ["cpu", "gpu"] {
        let baseline = || peak(start(folder.path(), device, "1500K", ["few", "w", "p"]));
        baseline();
        let baseline = baseline();
        let peak = peak(start(folder.path(), device, "4M", ["h", "w", "q"]));
        let room = (4 << 20) + baseline;
        assert!(peak < room, "{device}: {peak} bytes of {room}, {baseline} of them at any rate");
    }
}

#[test]
fn blocks_leave_nothing_behind() {
    let folder = wide(30, 100, 2000);
    let before = names(folder.path());
    let mut targets = [1i64; 30];
    targets[29] = 2000;
    npy(&folder.path().join("y.npy"), &[30], &targets);
    let line = "linear-cross-entropy h.npy w.npy y.npy --grad dh.npy --grad-weight dw.npy \
                --device cpu --memory-limit 200K";
    let args: Vec<&str> = line.split_whitespace().collect();
    surprisal(folder.path(), &args).fails(2, &["y.npy", "target 2000 of row 29"]);
    npy(&folder.path().join("y.npy"), &[30], &[1i64; 30]);
    assert_eq!(surprisal(folder.path(), &args).code, 0);
    for name in ["dh.npy", "dw.npy"] {
        std::fs::remove_file(folder.path().join(name)).expect("it was written");
    }
    assert_eq!(names(folder.path()), before);
}
