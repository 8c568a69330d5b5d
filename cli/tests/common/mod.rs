//! What the test binaries share.

#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]

pub mod batch;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

pub const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");

#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: Vec<String>,
}

/// Runs the command in a folder. Mesa's own line about the desktop is not ours.
pub fn surprisal(folder: &Path, args: &[&str]) -> Run {
    finished(command(folder, args))
}

/// The same, on a GPU that fails as `cli/src/fault.rs` says.
pub fn with_fault(folder: &Path, fault: &str, args: &[&str]) -> Run {
    let mut command = command(folder, args);
    command.env("SURPRISAL_FAULT", fault);
    finished(command)
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_surprisal"));
    command.args(args).current_dir(folder).env("XDG_RUNTIME_DIR", folder);
    command
}

fn finished(mut command: Command) -> Run {
    let output: Output = command.output().expect("the command starts");
    let stderr = String::from_utf8(output.stderr).expect("messages are text");
    Run {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("reports are text"),
        stderr: stderr.lines().map(str::to_owned).collect(),
    }
}

impl Run {
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{:?}", self.stderr);
        assert_eq!(self.stdout.lines().count(), 1, "one object on one line");
        serde_json::from_str(&self.stdout).expect("it is JSON")
    }

    /// A failure: the code, and one line with these parts.
    pub fn fails(&self, code: i32, parts: &[&str]) {
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

pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["digits_logits.npy", "digits_targets.npy", "digits.safetensors"] {
        fs::copy(Path::new(DATA).join(name), folder.path().join(name)).expect("the data is there");
    }
    folder
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("it can be read")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub fn write_npy<T: npyz::AutoSerialize + npyz::Serialize + Copy>(
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

pub fn read_npy<T: npyz::Deserialize>(path: &Path) -> (Vec<u64>, Vec<T>) {
    let bytes = fs::read(path).expect("it was written");
    let file = npyz::NpyFile::new(&bytes[..]).expect("it is .npy");
    (file.shape().to_vec(), file.into_vec().expect("it has this dtype"))
}

pub fn tensor(path: &Path, name: &str) -> (Vec<usize>, safetensors::Dtype, Vec<u8>) {
    let bytes = fs::read(path).expect("it is there");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("it is .safetensors");
    let view = file.tensor(name).expect("it has the tensor");
    (view.shape().to_vec(), view.dtype(), view.data().to_vec())
}

pub fn f64s(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect()
}

/// A `.npy` file of f32 or, from the reference, of f64.
pub fn read_floats(path: &Path, device: &str) -> (Vec<u64>, Vec<f64>) {
    if device == "reference" {
        return read_npy::<f64>(path);
    }
    let (shape, values) = read_npy::<f32>(path);
    (shape, values.into_iter().map(f64::from).collect())
}

/// Numbers that were computed in f32, or from the reference in f64 of files that may be f32.
pub fn assert_close(name: &str, device: &str, got: &[f64], want: &[f64]) {
    let (relative, absolute) = if device == "reference" { (1e-7, 1e-14) } else { (1e-5, 1e-6) };
    assert_eq!(got.len(), want.len(), "{name} on {device}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let close = (got - want).abs() <= relative * want.abs() + absolute;
        assert!(got == want || close, "{name} on {device}, {i}: got {got:e}, wanted {want:e}");
    }
}

pub const DEVICES: [&str; 3] = ["cpu", "gpu", "reference"];
pub const LN_2: f64 = std::f64::consts::LN_2;

/// The report of a command on a device.
pub fn report(folder: &Path, device: &str, args: &[&str]) -> Value {
    surprisal(folder, &[args, &["--device", device, "--json"]].concat()).json()
}

/// The loss that a command reports, on every device: this.
pub fn reports(folder: &Path, args: &[&str], want: f64) {
    for device in DEVICES {
        let loss = report(folder, device, args)["loss"].as_f64().expect("a number");
        assert_close(&args.join(" "), device, &[loss], &[want]);
    }
}

/// What a command writes to a file, on every device: this shape, these numbers.
pub fn writes(folder: &Path, args: &[&str], file: &str, shape: &[u64], want: &[f64]) {
    for device in DEVICES {
        report(folder, device, args);
        let (found, values) = read_floats(&folder.join(file), device);
        assert_eq!(found, shape, "{args:?} on {device}");
        assert_close(&args.join(" "), device, &values, want);
    }
}

/// Two rows of logits with probabilities 1/4 and 3/4, in the shape [2, 1, 2], and targets.
pub fn quarters() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let ln3 = 3.0f64.ln();
    write_npy(&path("x.npy"), &[2, 1, 2], &[0.0, ln3, ln3, 0.0]);
    write_npy(&path("probs.npy"), &[2, 1, 2], &[0.25f64, 0.75, 0.75, 0.25]);
    write_npy(&path("log_probs.npy"), &[2, 1, 2], &[0.25f64, 0.75, 0.75, 0.25].map(f64::ln));
    write_npy(&path("y.npy"), &[2, 1], &[1i32, 1]);
    write_npy(&path("q.npy"), &[2, 1, 2], &[0.5f64, 0.5, 0.0, 1.0]);
    write_npy(&path("flat.npy"), &[2, 2], &[0.5f64, 0.5, 0.0, 1.0]);
    write_npy(&path("up.npy"), &[2, 1], &[4.0f32, 0.0]);
    write_npy(&path("alpha.npy"), &[2], &[0.5f32, 2.0]);
    write_npy(&path("three.npy"), &[3], &[1.0f32; 3]);
    write_npy(&path("bad_probs.npy"), &[2, 1, 2], &[0.25f64, 0.75, 1.5, 0.25]);
    write_npy(&path("bits.npy"), &[2, 1, 2], &[0u8, 1, 1, 0]);
    write_npy(&path("signs.npy"), &[2, 1, 2], &[-1i8, 1, 1, -1]);
    write_npy(&path("sevens.npy"), &[2, 1, 2], &[0u64, 1, 1, u64::MAX]);
    folder
}

/// Runs hear signals that whoever started the tests had ignored: a program that is started gets the
/// default where there was a handler.
#[cfg(unix)]
pub fn pass_on_no_ignored_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let always = std::sync::Arc::new(true.into());
        signal_hook::flag::register_conditional_default(signal, always).expect("it has a handler");
    }
}

/// The most memory that a run has, in bytes.
#[cfg(target_os = "linux")]
pub fn peak(child: std::process::Child) -> u64 {
    largest(child, "status", "VmHWM:") << 10
}

/// How many bytes a run reads, but for what it reads in its last milliseconds.
#[cfg(target_os = "linux")]
pub fn bytes_read(child: std::process::Child) -> u64 {
    largest(child, "io", "rchar:")
}

/// The largest value of a field of a process's file, while it runs.
#[cfg(target_os = "linux")]
fn largest(mut child: std::process::Child, file: &str, field: &str) -> u64 {
    let file = format!("/proc/{}/{file}", child.id());
    let mut largest = 0;
    while child.try_wait().expect("it is a child").is_none() {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        largest = largest.max(value.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().expect("it ended").success());
    largest
}
