//! The command, run as its users run it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use half::bf16;
use serde_json::Value;

use common::{DATA, f64s, folder, read_npy, surprisal, tensor, write_npy};

#[test]
fn digits_on_every_device() {
    let folder = folder();
    let (_, _, want) = tensor(&Path::new(DATA).join("digits.safetensors"), "dlogits_mean");
    let want = f64s(&want);
    for device in ["gpu", "cpu", "reference", "auto"] {
        let args =
            ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--grad", "grad.npy"];
        let run = surprisal(folder.path(), &[&args[..], &["--json", "--device", device]].concat());
        let report = run.json();
        assert!((report["loss"].as_f64().expect("a number") - 0.406_095_9).abs() < 1e-6);
        assert_eq!(report["rows"], 1797);
        assert_eq!(report["classes"], 10);
        assert_eq!(report["kept_rows"], 1797);
        assert_eq!(report["total_weight"], 1797.0);
        assert_eq!(report["dtype"], if device == "reference" { "f64" } else { "f32" });
        for stage in ["read", "upload", "compute", "download", "write", "total"] {
            assert!(report["seconds"][stage].is_number(), "{stage}");
        }
        for field in ["kind", "name", "backend"] {
            assert!(report["device"][field].is_string(), "{field}");
        }
        assert!(report["bytes_moved"].as_u64().expect("a number") >= 1797 * 10 * 8);
        if device == "auto" {
            assert_eq!(run.stderr.len(), 1, "auto says what it takes: {:?}", run.stderr);
        } else {
            assert_eq!(report["device"]["kind"], device);
            assert!(run.stderr.is_empty(), "{:?}", run.stderr);
        }
        let grad = folder.path().join("grad.npy");
        let (shape, got) = if device == "reference" {
            read_npy::<f64>(&grad)
        } else {
            let (shape, got) = read_npy::<f32>(&grad);
            (shape, got.into_iter().map(f64::from).collect())
        };
        assert_eq!(shape, [1797, 10]);
        let off = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f64::max);
        assert!(off < 1e-9, "{device}: off by {off}");
    }
}

#[test]
fn every_output_and_format() {
    let folder = folder();
    let run = surprisal(
        folder.path(),
        &[
            "cross-entropy",
            "digits.safetensors:logits",
            "digits.safetensors:labels",
            "--reduction",
            "none",
            "--out",
            "loss.safetensors",
            "--lse",
            "lse.npy",
            "--grad",
            "grad.safetensors:mine",
            "--device",
            "cpu",
        ],
    );
    assert_eq!(run.code, 0, "{:?}", run.stderr);
    for word in ["1797", "10", "loss.safetensors", "lse.npy", "grad.safetensors", "cpu"] {
        assert!(run.stdout.contains(word), "`{word}` is missing: {}", run.stdout);
    }
    let (shape, dtype, loss) = tensor(&folder.path().join("loss.safetensors"), "loss");
    assert_eq!((shape, dtype), (vec![1797], safetensors::Dtype::F32));
    let (_, _, want) = tensor(&Path::new(DATA).join("digits.safetensors"), "row_loss");
    let got = loss.chunks_exact(4).map(bytemuck::pod_read_unaligned::<f32>);
    for (got, want) in got.zip(f64s(&want)) {
        assert!((f64::from(got) - want).abs() <= 1e-6 * want + 1e-7, "{got} and {want}");
    }
    assert_eq!(read_npy::<f32>(&folder.path().join("lse.npy")).0, [1797]);
    let (shape, dtype, _) = tensor(&folder.path().join("grad.safetensors"), "mine");
    assert_eq!((shape, dtype), (vec![1797, 10], safetensors::Dtype::F32));
}

#[test]
fn shapes_carry_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let logits: Vec<f32> = (0..24u8).map(|x| f32::from(x % 5)).collect();
    write_npy(&path("logits.npy"), &[2, 3, 4], &logits);
    write_npy(&path("targets.npy"), &[2, 3], &[0i16, 1, 2, 3, 0, 1]);
    let base = ["cross-entropy", "logits.npy", "targets.npy", "--device", "cpu", "--quiet"];
    let more =
        ["--reduction", "none", "--out", "loss.npy", "--grad", "grad.npy", "--lse", "lse.npy"];
    let run = surprisal(folder.path(), &[&base[..], &more].concat());
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{:?}", run.stderr);
    assert_eq!(read_npy::<f32>(&path("loss.npy")).0, [2, 3]);
    assert_eq!(read_npy::<f32>(&path("lse.npy")).0, [2, 3]);
    assert_eq!(read_npy::<f32>(&path("grad.npy")).0, [2, 3, 4]);
    let run = surprisal(folder.path(), &[&base[..], &["--out", "loss.npy"]].concat());
    assert_eq!(run.code, 0, "{:?}", run.stderr);
    assert_eq!(read_npy::<f32>(&path("loss.npy")).0, [] as [u64; 0]);

    for (command, shape) in
        [("softmax", &[2, 3, 4][..]), ("log-softmax", &[2, 3, 4]), ("logsumexp", &[2, 3])]
    {
        let args = [command, "logits.npy", "--device", "cpu", "--out", "out.npy", "--json"];
        let report = surprisal(folder.path(), &args).json();
        assert_eq!((&report["rows"], &report["classes"]), (&6.into(), &4.into()));
        assert!(report.get("loss").is_none());
        let (found, values) = read_npy::<f32>(&path("out.npy"));
        assert_eq!(found, shape, "{command}");
        if command == "softmax" {
            assert!((values[..4].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn every_dtype_of_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let values = [1.0f32, -2.0, 0.5, 3.0, 0.0, 1.5];
    write_npy(&path("f4.npy"), &[2, 3], &values);
    write_npy(&path("f8.npy"), &[2, 3], &values.map(f64::from));
    let bf16s: Vec<u8> = values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    let f16s: Vec<u8> = values.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
    let view = |dtype, bytes| {
        safetensors::tensor::TensorView::new(dtype, vec![2, 3], bytes).expect("its shape")
    };
    let tensors = [
        ("bf16", view(safetensors::Dtype::BF16, &bf16s)),
        ("f16", view(safetensors::Dtype::F16, &f16s)),
    ];
    let bytes = safetensors::serialize(tensors, None).expect("it is sound");
    fs::write(path("half.safetensors"), bytes).expect("the folder can be written");
    write_npy(&path("u1.npy"), &[2], &[2u8, 0]);
    write_npy(&path("i1.npy"), &[2], &[2i8, 0]);
    write_npy(&path("u4.npy"), &[2], &[2u32, 0]);
    write_npy(&path("i4.npy"), &[2], &[2i32, 0]);
    write_npy(&path("u8.npy"), &[2], &[2u64, 0]);

    let mut losses = Vec::new();
    for device in ["gpu", "cpu", "reference"] {
        for (logits, targets) in [
            ("f4.npy", "u1.npy"),
            ("f8.npy", "i1.npy"),
            ("half.safetensors:bf16", "u4.npy"),
            ("half.safetensors:f16", "i4.npy"),
            ("f4.npy", "u8.npy"),
        ] {
            let grad = "grad.safetensors";
            let args = ["cross-entropy", logits, targets, "--grad", grad, "--json"];
            let report =
                surprisal(folder.path(), &[&args[..], &["--device", device]].concat()).json();
            losses.push(report["loss"].as_f64().expect("a number"));
            let (_, dtype, _) = tensor(&path(grad), "dlogits");
            let want = match (device, logits) {
                ("reference", _) | (_, "f8.npy") => safetensors::Dtype::F64,
                (_, "half.safetensors:bf16") => safetensors::Dtype::BF16,
                (_, "half.safetensors:f16") => safetensors::Dtype::F16,
                _ => safetensors::Dtype::F32,
            };
            assert_eq!(dtype, want, "{logits} on {device}");
        }
    }
    assert!(losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-6), "{losses:?}");

    let args = ["cross-entropy", "half.safetensors:bf16", "i4.npy", "--grad", "grad.npy"];
    let run = surprisal(folder.path(), &[&args[..], &["--device", "cpu"]].concat());
    run.fails(2, &["--grad", "grad.npy", ".safetensors"]);
    assert!(!path("grad.npy").exists());
}

#[test]
fn options_of_the_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_npy(&path("x.npy"), &[3, 2], &[0.0f32, 0.0, 0.0, 0.0, f32::NAN, 0.0]);
    write_npy(&path("y.npy"), &[3], &[0i32, 1, 1]);
    write_npy(&path("up.npy"), &[3], &[2.0f32, -4.0, 0.0]);
    let run = |more: &[&str]| {
        let args = ["cross-entropy", "x.npy", "y.npy", "--device", "cpu", "--json"];
        surprisal(folder.path(), &[&args[..], more].concat()).json()
    };
    let ln2 = std::f64::consts::LN_2;
    assert_eq!(run(&[])["loss"], "NaN");
    let report = run(&["--ignore-index", "1", "--reduction", "sum"]);
    assert!((report["loss"].as_f64().expect("a number") - ln2).abs() < 1e-7);
    assert_eq!(report["kept_rows"], 1);
    assert_eq!(run(&["--ignore-index", "none", "--reduction", "none"])["loss"], Value::Null);

    run(&["--reduction", "none", "--upstream", "up.npy", "--grad", "g.npy"]);
    let (_, grad) = read_npy::<f32>(&path("g.npy"));
    assert_eq!(grad[..4], [-1.0, 1.0, -2.0, 2.0]);
    assert!(grad[4..].iter().all(|x| x.is_nan()));
    run(&["--reduction", "sum", "--upstream", "-3", "--grad", "g.npy"]);
    assert_eq!(read_npy::<f32>(&path("g.npy")).1[..2], [1.5, -1.5]);
}

#[test]
fn options_of_cross_entropy() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let weights: Vec<f32> = (0..10u8).map(|j| f32::from(j) / 4.0).collect();
    write_npy(&path("weights.npy"), &[10], &weights);
    write_npy(&path("short.npy"), &[3], &[1.0f32; 3]);
    let args = ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--json"];
    let options: &[&[&str]] = &[
        &["--class-weights", "weights.npy"],
        &["--class-weights", "inverse-frequency"],
        &["--label-smoothing", "0.1"],
        &["--z-loss", "0.001", "--softcap", "30", "--logit-scale", "0.5"],
        &["--normalizer", "1000"],
    ];
    let mut losses = Vec::new();
    for more in options {
        let loss = |device| {
            let device = ["--device", device];
            let report = surprisal(folder.path(), &[&args[..], more, &device].concat()).json();
            (report["loss"].as_f64().expect("a number"), report["total_weight"].clone())
        };
        let (reference, cpu, gpu) = (loss("reference").0, loss("cpu"), loss("gpu"));
        for (loss, _) in [&cpu, &gpu] {
            assert!((loss - reference).abs() < 1e-5 * reference, "{more:?}: {loss}, {reference}");
        }
        losses.push(reference);
        if more[0] == "--normalizer" {
            assert!((reference - 0.406_095_857_17 * 1.797).abs() < 1e-9);
        }
    }
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert_eq!(losses.len(), options.len(), "each option changes the loss: {losses:?}");

    let fails = |more: &[&str], parts: &[&str]| {
        let device = ["--device", "cpu"];
        surprisal(folder.path(), &[&args[..], more, &device].concat()).fails(2, parts);
    };
    fails(&["--class-weights", "short.npy"], &["short.npy", "[3]", "10"]);
    fails(&["--class-weights", "digits_targets.npy"], &["digits_targets.npy", "[1797]"]);
    fails(&["--label-smoothing", "1.5"], &["--label-smoothing: 1.5"]);
    fails(&["--softcap", "0"], &["--softcap: 0"]);
    fails(&["--normalizer", "2", "--reduction", "sum"], &["--normalizer: 2", "sum"]);
    fails(&["--label-smoothing", "-0.5"], &["--label-smoothing: -0.5"]);
    fails(&["--label-smoothing", "much"], &["much"]);
}

#[test]
fn infinite_losses_are_strings() {
    let folder = tempfile::tempdir().expect("a folder");
    write_npy(&folder.path().join("x.npy"), &[1, 2], &[f32::NEG_INFINITY, 0.0]);
    write_npy(&folder.path().join("y.npy"), &[1], &[0i64]);
    let args = ["cross-entropy", "x.npy", "y.npy", "--json", "--device", "cpu"];
    assert_eq!(surprisal(folder.path(), &args).json()["loss"], "Infinity");
}

#[test]
fn adapters_by_index_and_by_name() {
    let folder = folder();
    let list = surprisal(folder.path(), &["devices"]);
    assert_eq!(list.code, 0, "{:?}", list.stderr);
    assert!(list.stdout.contains("cpu") && list.stdout.contains("auto takes"), "{}", list.stdout);
    let first = list.stdout.lines().next().expect("an adapter");
    let name = first.split_once(' ').expect("an index and a name").1.trim();
    let args = ["softmax", "digits_logits.npy", "--device", "gpu", "--json", "--adapter"];
    for adapter in ["0", name, &name.to_uppercase()] {
        let report = surprisal(folder.path(), &[&args[..], &[adapter]].concat()).json();
        let found = format!(
            "{}:{}",
            report["device"]["backend"].as_str().expect("text"),
            report["device"]["name"].as_str().expect("text")
        );
        assert_eq!(found, name);
    }
    let run = surprisal(folder.path(), &[&args[..], &["no such card"]].concat());
    run.fails(2, &["no such card", "found"]);
    for adapter in ["", "vulkan:", "99"] {
        surprisal(folder.path(), &[&args[..], &[adapter]].concat()).fails(2, &[]);
    }
    let auto = ["softmax", "digits_logits.npy", "--adapter", "0"];
    let run = surprisal(folder.path(), &auto);
    assert!(run.stderr.len() == 1 && run.stderr[0].contains("device: gpu"), "{:?}", run.stderr);
}

#[test]
fn without_any_driver() {
    let folder = folder();
    let run = |device: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_surprisal"))
            .args(["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--json"])
            .args(["--device", device])
            .current_dir(folder.path())
            .env("VK_DRIVER_FILES", "/nonexistent.json")
            .env("VK_ICD_FILENAMES", "/nonexistent.json")
            .output()
            .expect("the command starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = run("auto");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("cpu") && stderr.contains("no GPU"), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(report["device"]["kind"], "cpu");
    if cfg!(target_os = "linux") {
        let (code, _, stderr) = run("gpu");
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("no usable GPU"), "{stderr}");
    }
}

#[test]
fn help_and_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = surprisal(folder.path(), &["--help"]);
    assert_eq!(help.code, 0);
    let commands = [
        "cross-entropy",
        "binary-cross-entropy",
        "focal",
        "kl-divergence",
        "js-divergence",
        "elementwise",
        "softmax",
        "log-softmax",
        "logsumexp",
        "entropy",
        "devices",
    ];
    for command in commands {
        let line = help.stdout.lines().find(|line| line.trim().starts_with(&format!("{command} ")));
        let words = line.unwrap_or_else(|| panic!("{command} is missing")).split_whitespace();
        assert!(words.count() > 3, "{command} has a line of its own");
        assert_eq!(surprisal(folder.path(), &[command, "--help"]).code, 0, "{command}");
    }
    assert!(help.stdout.contains("it replaces the whole file"), "{}", help.stdout);
    assert!(surprisal(folder.path(), &["--version"]).stdout.contains("0.1.0"));
    surprisal(folder.path(), &[]).fails(2, &["a command is missing"]);
    surprisal(folder.path(), &["frobnicate"]).fails(2, &["frobnicate"]);
}
