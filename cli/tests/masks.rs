//! What does not count: rows and elements that a mask or a label leaves out, on every device, whole and
//! within a limit of memory.

mod common;

use std::path::Path;

use common::batch::{OUTPUTS, batch, remove_outputs};
use common::{DEVICES, assert_close, read_floats, report, surprisal, write_npy};
use serde_json::Value;
use tempfile::TempDir;

const ROWS: usize = 60;
const COLUMNS: usize = 50;

fn row_counts(row: usize) -> bool {
    row % 3 != 1
}

fn element_counts(element: usize) -> bool {
    element % 5 != 2
}

/// A batch whose rows that do not count hold NaN, and the batch of the rest.
struct Masked {
    all: TempDir,
    kept: TempDir,
}

impl Masked {
    fn new() -> Self {
        let (all, kept) = (batch(ROWS), batch(ROWS));
        let kept_rows = (0..ROWS).filter(|&row| row_counts(row)).count();
        for name in ["x.npy", "t.npy", "q.npy"] {
            let (_, values) = common::read_npy::<f32>(&all.path().join(name));
            let rows = || values.chunks(COLUMNS).enumerate();
            let spoilt: Vec<f32> = rows()
                .flat_map(|(row, values)| {
                    values.iter().map(move |&x| if row_counts(row) { x } else { f32::NAN })
                })
                .collect();
            let rest: Vec<f32> =
                rows().filter(|(row, _)| row_counts(*row)).flat_map(|(_, x)| x.to_vec()).collect();
            let columns = COLUMNS as u64;
            write_npy(&all.path().join(name), &[ROWS as u64, columns], &spoilt);
            write_npy(&kept.path().join(name), &[kept_rows as u64, columns], &rest);
        }
        let (_, up) = common::read_npy::<f32>(&all.path().join("up.npy"));
        let (_, y) = common::read_npy::<i64>(&all.path().join("y.npy"));
        let counting = |row: &usize| row_counts(*row);
        let of_kept = |values: &[f32]| -> Vec<f32> {
            (0..ROWS).filter(counting).map(|row| values[row]).collect()
        };
        write_npy(&kept.path().join("up.npy"), &[kept_rows as u64], &of_kept(&up));
        let kept_y: Vec<i64> = (0..ROWS).filter(counting).map(|row| y[row]).collect();
        write_npy(&kept.path().join("y.npy"), &[kept_rows as u64], &kept_y);
        let spoilt = (0..ROWS).map(|row| if row_counts(row) { y[row] } else { 1 << 40 });
        write_npy(&all.path().join("y.npy"), &[ROWS as u64], &spoilt.collect::<Vec<_>>());
        let mask: Vec<u8> = (0..ROWS).map(|row| 2 * u8::from(row_counts(row))).collect();
        write_npy(&all.path().join("mask.npy"), &[ROWS as u64, 1], &mask);
        Self { all, kept }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn written(folder: &Path, device: &str, name: &str) -> Option<Vec<f64>> {
    let path = folder.join(name);
    path.exists().then(|| read_floats(&path, device).1)
}

fn run(folder: &Path, device: &str, line: &str) -> (Value, Vec<Option<Vec<f64>>>) {
    remove_outputs(folder);
    let said = report(folder, device, &words(line));
    (said, OUTPUTS.iter().map(|name| written(folder, device, name)).collect())
}

#[test]
fn rows_that_do_not_count_are_as_if_they_were_not_there() {
    let batch = Masked::new();
    for line in [
        "cross-entropy x.npy y.npy --grad grad.npy --out out.npy --lse lse.npy",
        "cross-entropy x.npy y.npy --class-weights inverse-frequency --grad grad.npy --metrics",
        "cross-entropy x.npy y.npy --reduction none --upstream up.npy --grad grad.npy --out out.npy",
        "cross-entropy x.npy q.npy --grad grad.npy --lse lse.npy",
        "focal x.npy y.npy --grad grad.npy --out out.npy --reduction none",
        "kl-divergence t.npy x.npy --grad grad.npy --lse lse.npy",
        "js-divergence t.npy x.npy --grad grad.npy --out out.npy --reduction none",
        "linear-cross-entropy x.npy t50.npy y.npy --grad grad.npy --grad-weight out.npy",
        "softmax x.npy --out out.npy",
        "log-softmax x.npy --out out.npy",
        "logsumexp x.npy --out out.npy",
        "entropy x.npy --out out.npy --grad grad.npy --upstream up.npy",
    ] {
        let layer: Vec<f32> = (0..COLUMNS * COLUMNS).map(|i| (i % 13) as f32 / 13.0).collect();
        for folder in [&batch.all, &batch.kept] {
            let shape = [COLUMNS as u64; 2];
            write_npy(&folder.path().join("t50.npy"), &shape, &layer);
        }
        for device in DEVICES {
            let (want, of_rest) = run(batch.kept.path(), device, line);
            // The layer takes more, most of it on a GPU.
            let limit = if line.starts_with("linear") { "3M" } else { "60K" };
            for limit in [String::new(), format!(" --memory-limit {limit}")] {
                let masked = format!("{line} --mask mask.npy{limit}");
                let (got, of_all) = run(batch.all.path(), device, &masked);
                if let (Some(got), Some(want)) = (got["loss"].as_f64(), want["loss"].as_f64()) {
                    assert_close(&masked, device, &[got], &[want]);
                    assert!(got > 0.0, "{masked}");
                }
                assert_eq!(got["kept_rows"], want["kept_rows"], "{masked}");
                assert_eq!(got["metrics"]["correct"], want["metrics"]["correct"], "{masked}");
                for (got, want) in of_all.iter().zip(&of_rest) {
                    let (Some(got), Some(want)) = (got, want) else {
                        assert_eq!(got.is_some(), want.is_some(), "{masked}");
                        continue;
                    };
                    if got.len() == want.len() {
                        assert_close(&masked, device, got, want);
                        continue;
                    }
                    let columns = got.len() / ROWS;
                    let (counting, left_out): (Vec<_>, Vec<_>) =
                        got.chunks(columns).enumerate().partition(|(row, _)| row_counts(*row));
                    let flat = |rows: Vec<(usize, &[f64])>| -> Vec<f64> {
                        rows.into_iter().flat_map(|(_, row)| row.to_vec()).collect()
                    };
                    assert_close(&masked, device, &flat(counting), want);
                    assert!(flat(left_out).iter().all(|&x| x == 0.0), "{masked} on {device}");
                }
            }
        }
    }
}

/// Labels that a mask leaves out, or that are the ignored one: each element by itself.
#[test]
fn elements_that_do_not_count() {
    let folder = batch(ROWS);
    let folder = folder.path();
    let (count, shape) = (ROWS * COLUMNS, [ROWS as u64, COLUMNS as u64]);
    let (_, x) = common::read_npy::<f32>(&folder.join("x.npy"));
    let spoilt: Vec<f32> =
        x.iter().enumerate().map(|(i, &x)| if element_counts(i) { x } else { f32::NAN }).collect();
    write_npy(&folder.join("x.npy"), &shape, &spoilt);
    let mask: Vec<i32> = (0..count).map(|i| i32::from(element_counts(i)) << 20).collect();
    write_npy(&folder.join("mask.npy"), &shape, &mask);
    let labels: Vec<u8> =
        (0..count).map(|i| if element_counts(i) { (i % 2) as u8 } else { 255 }).collect();
    write_npy(&folder.join("y.npy"), &shape, &labels);
    let kept: Vec<usize> = (0..count).filter(|&i| element_counts(i)).collect();
    let of_kept: Vec<f32> = kept.iter().map(|&i| x[i]).collect();
    write_npy(&folder.join("x_kept.npy"), &[kept.len() as u64], &of_kept);
    let of_kept: Vec<u8> = kept.iter().map(|&i| (i % 2) as u8).collect();
    write_npy(&folder.join("y_kept.npy"), &[kept.len() as u64], &of_kept);
    for command in ["binary-cross-entropy", "elementwise --loss squared", "focal --binary"] {
        for device in DEVICES {
            let line = format!("{command} x_kept.npy y_kept.npy --grad grad.npy");
            let (want, of_kept) = run(folder, device, &line);
            for (option, limit) in [
                ("--mask mask.npy", ""),
                ("--ignore-index 255", ""),
                ("--mask mask.npy", " --memory-limit 500K"),
                ("--ignore-index 255", " --memory-limit 500K"),
                ("--mask mask.npy --ignore-index 255", " --memory-limit 500K"),
            ] {
                let line = format!("{command} x.npy y.npy --grad grad.npy {option}{limit}");
                let (got, of_all) = run(folder, device, &line);
                let loss = |of: &Value| [of["loss"].as_f64().expect("a loss")];
                assert_close(&line, device, &loss(&got), &loss(&want));
                assert_eq!(got["total_weight"].as_f64(), Some(kept.len() as f64), "{line}");
                let (got, want) = (of_all[1].as_ref(), of_kept[1].as_ref());
                let (got, want) = (got.expect("a gradient"), want.expect("a gradient"));
                let counting: Vec<f64> = kept.iter().map(|&i| got[i]).collect();
                assert_close(&line, device, &counting, want);
                let rest = (0..count).filter(|&i| !element_counts(i));
                assert!(rest.into_iter().all(|i| got[i] == 0.0), "{line} on {device}");
            }
        }
    }
}

#[test]
fn a_normalizer_of_every_mean() {
    let folder = batch(ROWS);
    for line in [
        "focal x.npy y.npy",
        "kl-divergence t.npy x.npy",
        "js-divergence t.npy x.npy",
        "binary-cross-entropy x.npy bits.npy",
        "elementwise --loss absolute x.npy t.npy",
        "focal --binary x.npy bits.npy",
    ] {
        for device in DEVICES {
            let sum = report(folder.path(), device, &words(&format!("{line} --reduction sum")));
            let sum = sum["loss"].as_f64().expect("a sum");
            for limit in ["", " --memory-limit 500K"] {
                let line = format!("{line} --normalizer 8{limit}");
                let mean = report(folder.path(), device, &words(&line));
                let mean = mean["loss"].as_f64().expect("a mean");
                assert_close(&line, device, &[mean], &[sum / 8.0]);
            }
        }
    }
}

#[test]
fn masks_that_are_none() {
    let folder = batch(ROWS);
    let folder = folder.path();
    write_npy(&folder.join("short.npy"), &[ROWS as u64 - 1], &[1u8; ROWS - 1]);
    for line in [
        "cross-entropy x.npy y.npy",
        "focal x.npy y.npy",
        "kl-divergence t.npy x.npy",
        "softmax x.npy",
        "linear-cross-entropy x.npy t.npy y8.npy",
        "binary-cross-entropy x.npy bits.npy",
    ] {
        let masked = |mask: &str| {
            let line = format!("{line} --mask {mask}");
            surprisal(folder, &words(&line))
        };
        masked("short.npy").fails(2, &["short.npy", "[59]", "x.npy", "[60, 50]"]);
        masked("missing.npy").fails(2, &["missing.npy"]);
        let floats = if line.starts_with("binary") { "t.npy" } else { "up.npy" };
        masked(floats).fails(2, &[floats, "a mask is bool or integers"]);
    }
}

/// Not even what no class could be is an error where it does not count.
#[test]
fn targets_of_64_bits_without_a_sign() {
    let folder = batch(2);
    let path = |name: &str| folder.path().join(name);
    write_npy(&path("y.npy"), &[2], &[0u64, u64::MAX]);
    for (mask, kept) in [([1u8, 0], Some("1 of 2 rows")), ([0, 1], None)] {
        write_npy(&path("mask.npy"), &[2], &mask);
        for command in ["cross-entropy", "focal", "linear-cross-entropy"] {
            for limit in ["", " --memory-limit 1M"] {
                // The second matrix is a layer of two classes.
                let layer = if command == "linear-cross-entropy" { "t.npy " } else { "" };
                let line =
                    format!("{command} x.npy {layer}y.npy --mask mask.npy --device cpu{limit}");
                let run = surprisal(folder.path(), &words(&line));
                match kept {
                    Some(kept) => assert!(run.stdout.contains(kept), "{line}: {:?}", run.stderr),
                    None => run.fails(2, &["y.npy", "18446744073709551615 of row 1 is no class"]),
                }
            }
        }
    }
}

/// Labels of elements are f64, which has not every integer.
#[test]
fn ignored_labels_that_f64_rounds() {
    let folder = batch(2);
    for command in ["elementwise --loss squared x.npy t.npy", "focal --binary x.npy bits.npy"] {
        for ignored in ["9007199254740993", "9007199254740992", "-9007199254740992"] {
            let line = format!("{command} --ignore-index={ignored} --device cpu");
            let parts = ["--ignore-index", ignored, "f64"];
            surprisal(folder.path(), &words(&line)).fails(2, &parts);
        }
        let line = format!("{command} --ignore-index=9007199254740991 --device cpu");
        assert_eq!(surprisal(folder.path(), &words(&line)).code, 0, "{line}");
    }
}
