//! Kinds of files: bool, either byte order and order of axes, archives, pipes and names of any bytes.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{read_npy, surprisal, write_npy};
use tempfile::TempDir;

const SHAPE: [usize; 3] = [30, 7, 11];

/// A `.npy` file by hand.
fn npy(descr: &str, is_fortran: bool, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let sizes = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ") + ",";
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(elements);
    bytes
}

/// The elements of three axes, in the order that Fortran has them.
fn transposed<T: Copy>(values: &[T], [n, m, k]: [usize; 3]) -> Vec<T> {
    let axes = (0..k).flat_map(|c| (0..m).flat_map(move |b| (0..n).map(move |a| (a, b, c))));
    axes.map(|(a, b, c)| values[(a * m + b) * k + c]).collect()
}

fn logits() -> Vec<f32> {
    (0..SHAPE.iter().product()).map(|i| ((i * 37) % 101) as f32 / 16.0 - 3.0).collect()
}

/// The same logits and labels in every layout, and an archive of them.
fn files() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("room");
    let (x, [n, m, _]) = (logits(), SHAPE);
    let labels: Vec<i16> = (0i16..210).map(|i| i * 5 % 11).collect();
    let bits: Vec<u8> = x.iter().map(|&x| u8::from(x > 0.5)).collect();
    let le = |x: &[f32]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let be = |x: &[f32]| x.iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<u8>>();
    let plain = npy("<f4", false, &SHAPE, &le(&x));
    write("x.npy", &plain);
    write("xf.npy", &npy("<f4", true, &SHAPE, &le(&transposed(&x, SHAPE))));
    write("xb.npy", &npy(">f4", false, &SHAPE, &be(&x)));
    write("xfb.npy", &npy(">f4", true, &SHAPE, &be(&transposed(&x, SHAPE))));
    let of_labels =
        |values: &[i16]| values.iter().flat_map(|y| y.to_be_bytes()).collect::<Vec<u8>>();
    write_npy(&folder.path().join("y.npy"), &[n as u64, m as u64], &labels);
    let turned = transposed(&labels, [n, m, 1]);
    write("yfb.npy", &npy(">i2", true, &[n, m], &of_labels(&turned)));
    write("bits.npy", &npy("|b1", false, &SHAPE, &bits));
    write("bitsf.npy", &npy("|b1", true, &SHAPE, &transposed(&bits, SHAPE)));
    write("u1.npy", &npy("|u1", false, &SHAPE, &bits));
    let y = fs::read(folder.path().join("y.npy")).expect("it was written");
    write("a.npz", &archive(&[("x.npy", &plain), ("y.npy", &y)], rawzip::CompressionMethod::STORE));
    write("c.npz", &archive(&[("x.npy", &plain), ("y", &y)], rawzip::CompressionMethod::DEFLATE));
    write("one.npz", &archive(&[("x.npy", &plain)], rawzip::CompressionMethod::DEFLATE));
    folder
}

fn archive(members: &[(&str, &[u8])], method: rawzip::CompressionMethod) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, member) in members {
        let file = archive.new_file(name).compression_method(method);
        let (mut entry, config) = file.start().expect("room");
        if method == rawzip::CompressionMethod::STORE {
            let mut writer = config.wrap(&mut entry);
            writer.write_all(member).expect("room");
            let (_, descriptor) = writer.finish().expect("room");
            entry.finish(descriptor).expect("room");
        } else {
            let level = flate2::Compression::default();
            let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, level));
            writer.write_all(member).expect("room");
            let (encoder, descriptor) = writer.finish().expect("room");
            encoder.finish().expect("room");
            entry.finish(descriptor).expect("room");
        }
    }
    archive.finish().expect("room");
    bytes
}

/// What a shell's line comes to, in which `S` is the command.
fn shell(folder: &Path, line: &str) -> Output {
    let line = line.replace("S ", concat!(env!("CARGO_BIN_EXE_surprisal"), " "));
    let command = ["-o", "pipefail", "-c", &line];
    let mut bash = Command::new("bash");
    bash.args(command).current_dir(folder).env("XDG_RUNTIME_DIR", folder);
    bash.output().expect("bash is there")
}

/// The bytes of an output of a line.
fn output(folder: &Path, line: &str) -> Vec<u8> {
    let _ = fs::remove_file(folder.join("o.npy"));
    let ended = shell(folder, line);
    assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    fs::read(folder.join("o.npy")).expect("it was written")
}

const LIMITS: [&str; 3] = ["", " --memory-limit 400K", " --memory-limit 170K"];

#[test]
fn the_same_numbers_in_every_kind_of_file() {
    let folder = files();
    let folder = folder.path();
    let end = " --device cpu --quiet --reduction none --lse lse.npy --grad o.npy";
    let want = output(folder, &format!("S cross-entropy x.npy y.npy{end}"));
    for limit in LIMITS {
        for inputs in [
            "xf.npy y.npy",
            "xb.npy yfb.npy",
            "xfb.npy yfb.npy",
            "a.npz:x a.npz:y",
            "c.npz:x.npy c.npz:y",
            "one.npz y.npy",
        ] {
            let got = output(folder, &format!("S cross-entropy {inputs}{end}{limit}"));
            assert!(got == want, "{inputs}{limit}");
        }
    }
}

#[cfg(unix)]
#[test]
fn the_same_numbers_from_pipes() {
    let folder = files();
    let folder = folder.path();
    let end = " --device cpu --quiet --grad o.npy";
    let want = output(folder, &format!("S cross-entropy x.npy y.npy{end}"));
    for limit in LIMITS {
        for line in [
            "cat x.npy | S cross-entropy - y.npy",
            "cat xfb.npy | S cross-entropy - y.npy",
            "cat one.npz | S cross-entropy - y.npy",
            "cat y.npy | S cross-entropy x.npy -",
            "S cross-entropy <(cat x.npy) <(cat y.npy)",
        ] {
            let got = output(folder, &format!("{line}{end}{limit}"));
            assert!(got == want, "{line}{limit}");
        }
        let written = format!("S cross-entropy x.npy y.npy --device cpu --json --grad -{limit}");
        let written = shell(folder, &written);
        assert!(written.status.success());
        assert!(written.stdout == want, "{limit}");
        let report = String::from_utf8(written.stderr).expect("text");
        assert!(report.starts_with("{\"loss\":"), "{report}");
        let line = "cat x.npy | S softmax - --device cpu --quiet --out - | cat > o.npy";
        let named = "S softmax x.npy --device cpu --quiet --out o.npy";
        assert!(output(folder, line) == output(folder, named));
    }
}

#[cfg(unix)]
#[test]
fn pipes_by_their_names() {
    let folder = files();
    let folder = folder.path();
    let want = output(folder, "S softmax x.npy --device cpu --quiet --out o.npy");
    let line = "mkfifo in.npy out.npy; cat x.npy > in.npy & \
        S softmax in.npy --device cpu --quiet --out out.npy & run=$!; cat out.npy > o.npy; wait $run";
    assert!(output(folder, line) == want);
}

#[cfg(unix)]
#[test]
fn a_layer_from_pipes_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let values = |n: usize| (0..n).map(|i| ((i * 7) % 13) as f32 / 9.0).collect::<Vec<_>>();
    write_npy(&path("h.npy"), &[200, 16], &values(3200));
    write_npy(&path("w.npy"), &[2000, 16], &values(32_000));
    write_npy(&path("y.npy"), &[200], &vec![3i64; 200]);
    let end = "y.npy --device cpu --quiet --grad o.npy --memory-limit 150K";
    let whole = format!("S linear-cross-entropy h.npy w.npy {end} --grad-weight g.npy");
    let want = output(folder.path(), &whole);
    let line = format!(
        "S linear-cross-entropy <(cat h.npy) <(cat w.npy) {end} --grad-weight >(wc -c > n)"
    );
    assert!(output(folder.path(), &line) == want);
}

#[cfg(unix)]
#[test]
fn logits_from_pipes_are_read_again_for_a_gradient() {
    let folder = files();
    let end = "--device cpu --quiet --out e.npy --grad o.npy";
    let want = output(folder.path(), &format!("S entropy x.npy {end}"));
    for line in ["cat x.npy | S entropy -", "S entropy - < x.npy"] {
        let line = format!("{line} {end} --memory-limit 100K");
        assert!(output(folder.path(), &line) == want, "{line}");
    }
}

#[cfg(unix)]
#[test]
fn what_pipes_cannot_do() {
    let folder = files();
    let fails = |line: &str, code: i32, parts: &[&str]| {
        let ended = shell(folder.path(), line);
        let said = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(code), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        for part in parts {
            assert!(said.contains(part), "{line}: `{part}` is missing: {said}");
        }
    };
    let cpu = "--device cpu --quiet";
    fails(&format!("cat x.npy | S cross-entropy - - {cpu}"), 2, &["-: is read once"]);
    fails(&format!("cat x.npy | head -c 2000 | S softmax - {cpu}"), 2, &["-: is truncated"]);
    fails(&format!("true | S softmax - {cpu}"), 2, &["-: not a .safetensors file"]);
    fails(&format!("S cross-entropy x.npy y.npy --out - --grad - {cpu}"), 2, &["one file, -"]);
    fails(&format!("S softmax x.npy --out o.npz {cpu}"), 2, &["archives are not written"]);
    fails("S softmax x.npy --quiet --device cpu --out - > /dev/full", 1, &["-: cannot write"]);
}

#[cfg(all(unix, debug_assertions))]
#[test]
fn a_gpu_that_fails_after_a_pipe_was_read() {
    let folder = files();
    let line = "cat x.npy | SURPRISAL_FAULT=lost:9 S softmax - --device auto --adapter 0 --quiet --out o.npy";
    let ended = shell(folder.path(), line);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).expect("text");
    assert!(said.contains("the CPU cannot start over"), "{said}");
    assert!(!folder.path().join("o.npy").exists());
}

#[test]
fn bool_is_0_and_1_where_labels_are_read() {
    let folder = files();
    let folder = folder.path();
    let end = "--device cpu --quiet --reduction none --out o.npy";
    let want = output(folder, &format!("S binary-cross-entropy x.npy u1.npy {end}"));
    for limit in LIMITS {
        for bits in ["bits.npy", "bitsf.npy"] {
            let line = format!("S binary-cross-entropy x.npy {bits} {end}{limit}");
            assert!(output(folder, &line) == want, "{line}");
        }
    }
    let path = |name: &str| folder.join(name);
    write_npy(&path("two.npy"), &[3, 2], &[0.0f32, 3.0f32.ln(), 3.0f32.ln(), 0.0, 0.0, 0.0]);
    fs::write(path("classes.npy"), npy("|b1", false, &[3], &[1, 1, 0])).expect("room");
    let line =
        "S cross-entropy two.npy classes.npy --device cpu --quiet --reduction none --out o.npy";
    output(folder, line);
    let (_, losses) = read_npy::<f32>(&path("o.npy"));
    let want = [(4.0f32 / 3.0).ln(), 4.0f32.ln(), 2.0f32.ln()];
    assert!(losses.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{losses:?}");
    surprisal(folder, &["softmax", "bits.npy", "--device", "cpu"])
        .fails(2, &["bits.npy: holds bool"]);
}

#[test]
fn masks_of_any_width() {
    use surprisal_cli::files::InputArray;
    use surprisal_cli::progress::{Progress, Quiet};
    let progress = Progress::new(Quiet::Yes);
    let mask = |bytes: Vec<u8>| {
        let spec = "m.npy".parse().expect("an ending");
        let mut input = InputArray::from_source(&spec, std::io::Cursor::new(bytes))?;
        input.read_mask(&progress).map(|mask| (input.shape.clone(), mask))
    };
    for descr in ["|b1", "|i1", "|u1", "<i2", ">u2", "<i4", ">i4", "<u8", ">i8"] {
        let size: usize = descr[2..].parse().expect("a digit");
        let mut elements = vec![0u8; 4 * size];
        // The element 1, and one that is other than 0 in its last byte alone.
        (elements[0], elements[3 * size - 1]) = (1, 128);
        let (shape, mask) = mask(npy(descr, false, &[2, 2], &elements)).expect("it is one");
        assert_eq!((shape, mask), (vec![2, 2], vec![true, false, true, false]), "{descr}");
    }
    for descr in ["<f2", "<f4", ">f8"] {
        let failure = mask(npy(descr, false, &[1], &[0; 8])).expect_err("floats");
        assert!(failure.message.contains("a mask is bool or integers"), "{}", failure.message);
        assert_eq!(failure.code, 2);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_of_any_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = files();
    let name = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
    fs::copy(folder.path().join("x.npy"), folder.path().join(name(b"\xff.npy"))).expect("room");
    fs::copy(folder.path().join("a.npz"), folder.path().join(name(b"\xfe.NPZ"))).expect("room");
    let run = |args: &[&'static [u8]]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_surprisal"));
        command.args(args.iter().map(|arg| OsStr::from_bytes(arg)));
        command.args(["--device", "cpu"]).current_dir(folder.path()).stdin(Stdio::null());
        command.output().expect("it starts")
    };
    assert!(run(&[b"softmax", b"\xff.npy", b"--out", b"p\xfd.npy"]).status.success());
    assert!(folder.path().join(name(b"p\xfd.npy")).exists());
    assert!(run(&[b"cross-entropy", b"\xfe.NPZ:x", b"\xfe.NPZ:y"]).status.success());
    let ended = run(&[b"softmax", b"\xfe.NPZ:z"]);
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(said, "surprisal: \u{fffd}.NPZ:z: has no member `z`; it has x, y\n");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_under_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = [100_000, 100];
    let elements = vec![0.5f32; shape[0] * shape[1]];
    let write =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("room");
    let plain = npy("<f4", false, &shape, bytemuck::cast_slice(&elements));
    let turned = npy("<f4", true, &shape, bytemuck::cast_slice(&elements));
    write("plain.npy", &plain);
    write("turned.npy", &turned);
    write("plain.npz", &archive(&[("x.npy", &plain)], rawzip::CompressionMethod::DEFLATE));
    write("turned.npz", &archive(&[("x.npy", &turned)], rawzip::CompressionMethod::DEFLATE));
    let peak = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_surprisal"));
        command.args(["softmax", file, "--device", "cpu", "--out", "p.npy", "--quiet"]);
        command.args(["--memory-limit", "8M"]).current_dir(folder.path());
        common::peak(command.spawn().expect("it starts"))
    };
    // That of C order is held to the limit elsewhere. The arrays have 40 MB.
    let allowed = peak("plain.npy") + (2 << 20);
    for file in ["turned.npy", "plain.npz", "turned.npz"] {
        let peak = peak(file);
        assert!(peak < allowed, "{file}: {peak} of {allowed}");
    }
}
