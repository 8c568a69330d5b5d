//! The command, run as its users run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use half::bf16;
use serde_json::Value;
use tempfile::TempDir;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");

struct Run {
    code: i32,
    stdout: String,
    stderr: Vec<String>,
}

/// Runs the command in a folder. Mesa's own line about the desktop is not ours.
fn surprisal(folder: &Path, args: &[&str]) -> Run {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_surprisal"))
        .args(args)
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .output()
        .expect("the command starts");
    let stderr = String::from_utf8(output.stderr).expect("messages are text");
    Run {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("reports are text"),
        stderr: stderr.lines().map(str::to_owned).collect(),
    }
}

impl Run {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{:?}", self.stderr);
        assert_eq!(self.stdout.lines().count(), 1, "one object on one line");
        serde_json::from_str(&self.stdout).expect("it is JSON")
    }

    /// A failure: the code, and one line with these parts.
    fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{:?}", self.stderr);
        assert_eq!(self.stderr.len(), 1, "one line: {:?}", self.stderr);
        assert!(self.stdout.is_empty(), "{}", self.stdout);
        for part in parts {
            assert!(self.stderr[0].contains(part), "`{part}` is missing: {}", self.stderr[0]);
        }
        assert!(!self.stderr[0].contains("panicked"), "{}", self.stderr[0]);
        assert!(self.stderr[0].len() < 1000, "a line of {} bytes", self.stderr[0].len());
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["digits_logits.npy", "digits_targets.npy", "digits.safetensors"] {
        fs::copy(Path::new(DATA).join(name), folder.path().join(name)).expect("the data is there");
    }
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("it can be read")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn write_npy<T: npyz::AutoSerialize + npyz::Serialize + Copy>(
    path: &Path,
    shape: &[u64],
    values: &[T],
) {
    use npyz::WriterBuilder as _;
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()
        .expect("memory can be written");
    writer.extend(values.iter().copied()).expect("memory can be written");
    writer.finish().expect("memory can be written");
    fs::write(path, bytes).expect("the folder can be written");
}

fn read_npy<T: npyz::Deserialize>(path: &Path) -> (Vec<u64>, Vec<T>) {
    let bytes = fs::read(path).expect("it was written");
    let file = npyz::NpyFile::new(&bytes[..]).expect("it is .npy");
    (file.shape().to_vec(), file.into_vec().expect("it has this dtype"))
}

fn tensor(path: &Path, name: &str) -> (Vec<usize>, safetensors::Dtype, Vec<u8>) {
    let bytes = fs::read(path).expect("it is there");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("it is .safetensors");
    let view = file.tensor(name).expect("it has the tensor");
    (view.shape().to_vec(), view.dtype(), view.data().to_vec())
}

fn f64s(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()
}

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
    fails(&["--label-smoothing", "1.5"], &["label_smoothing", "1.5"]);
    fails(&["--softcap", "0"], &["softcap", "0"]);
    fails(&["--normalizer", "2", "--reduction", "sum"], &["normalizer", "sum"]);
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

/// Files that cannot be used, each in its own way, and a few that can.
fn write_bad_files(folder: &Path) {
    let path = |name: &str| folder.join(name);
    write_npy(&path("x.npy"), &[3, 2], &[0.0f32; 6]);
    write_npy(&path("x5.npy"), &[5, 2], &[0.0f32; 10]);
    write_npy(&path("scalar.npy"), &[], &[0.0f32]);
    write_npy(&path("flat.npy"), &[3, 0], &[0.0f32; 0]);
    write_npy(&path("y.npy"), &[3], &[0i64, 1, 0]);
    write_npy(&path("bad.npy"), &[3], &[0i64, -100, 7]);
    write_npy(&path("huge.npy"), &[3], &[0u64, u64::MAX, 0]);
    write_npy(&path("up2.npy"), &[2], &[0.0f32; 2]);
    fs::write(path("junk.npy"), b"this is no array at all").expect("written");
    fs::write(path("junk.safetensors"), b"\xff\xff\xff\xff\xff\xff\xff\x7f{}").expect("written");
    fs::write(path("empty.npy"), b"").expect("written");
    let deep =
        [&b"\x93NUMPY\x02\x00"[..], &200_000u32.to_le_bytes(), &vec![b'('; 200_000]].concat();
    fs::write(path("deep.npy"), deep).expect("written");
    let whole = fs::read(path("x.npy")).expect("it is there");
    fs::write(path("cut.npy"), &whole[..whole.len() - 3]).expect("written");
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16 + 1).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(b'\n');
        bytes.extend([0; 64]);
        bytes
    };
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }";
    fs::write(path("fortran.npy"), header(fortran)).expect("written");
    let big = "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2), }";
    fs::write(path("big.npy"), header(big)).expect("written");
    let claims = "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 16), }";
    fs::write(path("claims.npy"), header(claims)).expect("written");
    let complex = "{'descr': '<c8', 'fortran_order': False, 'shape': (3, 2), }";
    fs::write(path("complex.npy"), header(complex)).expect("written");
}

#[test]
fn bad_input() {
    let folder = folder();
    write_bad_files(folder.path());
    let path = |name: &str| folder.path().join(name);
    let whole = fs::read(path("x.npy")).expect("it is there");
    let cases: &[(&[&str], &[&str])] = &[
        (&["x.npy", "bad.npy"], &["bad.npy", "row 2", "7"]),
        (&["x.npy", "huge.npy"], &["huge.npy", "row 1", "18446744073709551615"]),
        (&["x5.npy", "y.npy"], &["y.npy", "[3]", "x5.npy", "[5, 2]"]),
        (&["missing.npy", "y.npy"], &["missing.npy"]),
        (&["x.npy", "missing.npy"], &["missing.npy"]),
        (&["junk.npy", "y.npy"], &["junk.npy", "not a .npy"]),
        (&["empty.npy", "y.npy"], &["empty.npy"]),
        (&["deep.npy", "y.npy"], &["deep.npy"]),
        (&["\u{1b}[31m.npy", "y.npy"], &["\\u{1b}[31m.npy"]),
        (&["digits.safetensors:", "y.npy"], &["name"]),
        (&["junk.safetensors", "y.npy"], &["junk.safetensors", "not a .safetensors"]),
        (&["cut.npy", "y.npy"], &["cut.npy", "truncated"]),
        (&["fortran.npy", "y.npy"], &["fortran.npy", "Fortran"]),
        (&["big.npy", "y.npy"], &["big.npy", "big-endian"]),
        (&["claims.npy", "y.npy"], &["claims.npy", "claims"]),
        (&["complex.npy", "y.npy"], &["complex.npy", "c8"]),
        (&["scalar.npy", "y.npy"], &["scalar.npy"]),
        (&["flat.npy", "y.npy"], &["flat.npy", "classes"]),
        (&["y.npy", "y.npy"], &["y.npy", "1"]),
        (&["x.npy", "x.npy"], &["x.npy"]),
        (&["x.npy", "y.npy", "--upstream", "up2.npy"], &["up2.npy", "[2]"]),
        (&["x.npy", "y.npy", "--upstream", "up2.npy", "--reduction", "none"], &["[2]", "[3]"]),
        (&["digits.safetensors", "y.npy"], &["digits.safetensors", "logits", "labels"]),
        (&["digits.safetensors:nothing", "y.npy"], &["nothing", "logits"]),
        (&["x.txt", "y.npy"], &["x.txt", ".npy"]),
        (&["x.npy"], &["TARGETS"]),
        (&["x.npy", "y.npy", "--reduction", "median"], &["median"]),
        (&["x.npy", "y.npy", "--ignore-index", "many"], &["many"]),
        (&["x.npy", "y.npy", "--threads", "0"], &["0"]),
        (&["x.npy", "y.npy", "--frobnicate"], &["--frobnicate"]),
        (&["x.npy", "y.npy", "--device", "cpu", "--adapter", "0"], &["--adapter"]),
        (&["x.npy", "y.npy", "--out", "loss.txt"], &["loss.txt"]),
        (&["x.npy", "y.npy", "--grad", "x.npy"], &["--grad", "x.npy"]),
        (&["x.npy", "y.npy", "--grad", "./x.npy"], &["--grad", "x.npy"]),
        (&["x.npy", "y.npy", "--out", "y.npy"], &["--out", "y.npy"]),
        (&["x.npy", "y.npy", "--out", "same.npy", "--lse", "same.npy"], &["--lse", "same.npy"]),
    ];
    let before = names(folder.path());
    for (args, parts) in cases {
        let device: &[&str] = if args.contains(&"--device") { &[] } else { &["--device", "cpu"] };
        let grad: &[&str] = if args.contains(&"--grad") { &[] } else { &["--grad", "g.npy"] };
        let run = surprisal(folder.path(), &[&["cross-entropy"], *args, device, grad].concat());
        run.fails(2, parts);
        assert_eq!(names(folder.path()), before, "{args:?} left something behind");
    }
    assert_eq!(fs::read(path("x.npy")).expect("it is there"), whole, "the input is untouched");
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = folder();
    fs::create_dir(folder.path().join("taken.npy")).expect("a folder");
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    let run = |more: &[&str]| {
        let args = ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--device", "cpu"];
        surprisal(folder.path(), &[&args[..], more].concat())
    };
    run(&["--grad", "no/such/folder/g.npy"]).fails(2, &["no/such/folder/g.npy", "no folder"]);
    run(&["--grad", "digits_logits.npy/g.npy"]).fails(2, &["no folder"]);
    run(&["--grad", "g.safetensors:__metadata__"]).fails(2, &["__metadata__"]);
    let long = format!("{}.npy", "a".repeat(300));
    run(&["--out", "kept.npy", "--grad", &long]).fails(2, &["--grad"]);
    run(&["--grad", "taken.npy"]).fails(2, &["taken.npy"]);
    // One bad output, and the good one is not written either.
    run(&["--out", "kept.npy", "--grad", "no/such/folder/g.npy"]).fails(2, &["no/such"]);
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
}

#[cfg(unix)]
#[test]
fn links_to_the_input_are_seen_through() {
    let folder = folder();
    let link = folder.path().join("link.npy");
    std::os::unix::fs::symlink("digits_logits.npy", link).expect("a link");
    let args = ["cross-entropy", "digits_logits.npy", "digits_targets.npy", "--grad", "link.npy"];
    surprisal(folder.path(), &args).fails(2, &["--grad", "digits_logits.npy"]);
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

#[cfg(unix)]
#[test]
fn pipes_are_not_waited_for() {
    let folder = folder();
    let made = Command::new("mkfifo").arg(folder.path().join("pipe.npy")).status();
    assert!(made.expect("mkfifo is there").success());
    surprisal(folder.path(), &["softmax", "pipe.npy"]).fails(2, &["pipe.npy", "not a file"]);
    let args = ["softmax", "digits_logits.npy", "--device", "cpu", "--out", "pipe.npy"];
    surprisal(folder.path(), &args).fails(2, &["pipe.npy", "not a file"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    write_npy(&folder.path().join("x.npy"), &[200_000, 200], &vec![0.5f32; 40_000_000]);
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    for signal in ["-INT", "-TERM"] {
        let run = Command::new(env!("CARGO_BIN_EXE_surprisal"))
            .args(["softmax", "x.npy", "--device", "reference", "--out", "kept.npy"])
            .current_dir(folder.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the command starts");
        // Its temporary file shows that it is at work.
        while names(folder.path()) == before {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let kill = Command::new("kill").args([signal, &run.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
        let output = run.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "surprisal: interrupted\n");
        assert_eq!(names(folder.path()), before);
        let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
        assert_eq!(kept, b"what stood there before");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_printed() {
    let folder = folder();
    fs::write(folder.path().join("kept.npy"), b"what stood there before").expect("written");
    let before = names(folder.path());
    let full = fs::File::create("/dev/full").expect("it can be opened");
    let output = Command::new(env!("CARGO_BIN_EXE_surprisal"))
        .args(["softmax", "digits_logits.npy", "--device", "cpu", "--out", "kept.npy"])
        .current_dir(folder.path())
        .stdout(full)
        .output()
        .expect("the command starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names(folder.path()), before);
    let kept = fs::read(folder.path().join("kept.npy")).expect("it is there");
    assert_eq!(kept, b"what stood there before");
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
    for command in ["cross-entropy", "softmax", "log-softmax", "logsumexp", "devices"] {
        assert!(help.stdout.contains(command), "{command}");
    }
    assert!(surprisal(folder.path(), &["--version"]).stdout.contains("0.1.0"));
    surprisal(folder.path(), &[]).fails(2, &["a command is missing"]);
    surprisal(folder.path(), &["frobnicate"]).fails(2, &["frobnicate"]);
}

#[test]
fn new_files_have_ordinary_permissions() {
    let folder = folder();
    let args = ["softmax", "digits_logits.npy", "--device", "cpu", "--quiet", "--out", "p.npy"];
    assert_eq!(surprisal(folder.path(), &args).code, 0);
    let ordinary: PathBuf = folder.path().join("ordinary");
    fs::write(&ordinary, b"x").expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions();
    assert_eq!(mode(&folder.path().join("p.npy")), mode(&ordinary));
}
